"""``generated``: the sentences of a report that its words and findings vote for.

In: the phrases of a report and its sentences. Out: an extract: whole sentences of the report, in
its order, within CLIP's 77 tokens. A graph is built whose nodes are the findings, their attributes
and the other words; edges join a finding with its attributes, findings that are named in one
sentence, and words that stand close together. PageRank (Brin and Page 1998; on words: TextRank,
Mihalcea and Tarau, EMNLP 2004) weighs the nodes, with a preference for findings. The sentence with
the heaviest nodes is taken first, then the one that adds most, as long as there is room.

It is an extract without a trained part. It is not WGSum (Hu et al. 2021), which trains a network to
write impressions.
"""

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from cxrtool.reports.context import NEGATIVE, POSITIVE
from cxrtool.reports.labeler import Evidence, Labels
from cxrtool.reports.sentence import UNREAD
from cxrtool.reports.texts.phrases import BUDGET, tokens

_DAMPING, _ROUNDS = 0.85, 20
_WINDOW = 3  # words that stand so close together are joined
_RELATION, _NEAR = 2.0, 1.0
_PREFERENCE = {POSITIVE: 4.0, NEGATIVE: 1.5}
_DOUBTED, _WORD = 3.0, 0.5
_ASIDE = 0.4  # what a sentence without a finding counts
_LEAST = 0.15  # of the gain of the first sentence, below which another one is not worth its room
_TOKEN = re.compile(r"[a-z][a-z'-]*[a-z]")
_MARK = re.compile(r"\S*(?:X{3,}|_{2,})\S*")
_STOP = frozenset(
    ("the", "and", "are", "was", "were", "has", "have", "had", "been", "with", "without", "from",
     "for", "that", "this", "there", "these", "those", "which", "seen", "noted", "identified",
     "present", "evidence", "any", "not", "into", "its", "may", "could", "would", "can",
     "demonstrate", "demonstrates", "appear", "appears", "again", "also", "xxxx")
)  # fmt: skip


@dataclass
class _Graph:
    """An undirected graph with weights on its edges and a preference for each node."""

    edges: dict[str, dict[str, float]] = field(default_factory=dict)
    liked: dict[str, float] = field(default_factory=dict)

    def like(self, node: str, weight: float) -> None:
        """Adds a node, or prefers it more."""
        self.edges.setdefault(node, {})
        self.liked[node] = max(weight, self.liked.get(node, 0))

    def join(self, a: str, b: str, weight: float) -> None:
        """Adds weight to the edge between two nodes that are there."""
        if a != b:
            self.edges[a][b] = self.edges[b][a] = self.edges[a].get(b, 0) + weight

    def ranks(self) -> dict[str, float]:
        """PageRank with the preferences as the chance to begin anew."""
        total = sum(self.liked.values())
        start = {node: weight / total for node, weight in self.liked.items()}
        rank = dict(start)
        out = {node: sum(joined.values()) for node, joined in self.edges.items()}
        for _ in range(_ROUNDS):
            lost = sum(rank[node] for node, weight in out.items() if not weight)
            rank = {
                node: start[node] * (1 - _DAMPING + _DAMPING * lost)
                + _DAMPING * sum(rank[n] * w / out[n] for n, w in joined.items())
                for node, joined in self.edges.items()
            }
        return rank


def generated(labels: Labels, text: str, no_finding: str, budget: int = BUDGET) -> str:
    """The sentences that weigh most, in report order; "" where there are none.

    Args:
        labels: With evidence.
        text: The report.
        no_finding: The observation that says that all is well.
        budget: Tokens; a first sentence that is longer is cut.
    """
    sentences = [_clean(text[start:end]) for start, end in labels.sentences]
    starts = [start for start, _ in labels.sentences]
    inside: list[list[Evidence]] = [[] for _ in starts]
    for evidence in labels.evidence:
        inside[bisect_right(starts, evidence.start) - 1].append(evidence)
    nodes = [
        _nodes(sentence, _findings(named, no_finding), _broken(text, span))
        for sentence, named, span in zip(sentences, inside, labels.sentences)
    ]
    graph = _Graph()
    for content in nodes:
        _add(graph, content)
    if not graph.edges:
        return ""
    chosen = _chosen(sentences, nodes, graph.ranks(), budget)
    extract = [sentences[i] for i in sorted(chosen)]
    if len(extract) == 1 and tokens(extract[0]) > budget:
        extract = [_cut(extract[0], budget)]
    return " ".join(extract)


@dataclass
class _Content:
    """What a sentence names."""

    findings: list[tuple[str, float, list[str]]]  # node, preference, nodes of its attributes
    words: list[str]

    def all(self) -> set[str]:
        """Its nodes."""
        named = {node for node, _, _ in self.findings}
        return named.union(self.words, *(attributes for _, _, attributes in self.findings))


def _findings(named: list[Evidence], no_finding: str) -> list[tuple[str, float, list[str]]]:
    nodes = []
    for evidence in named:
        if evidence.observation != no_finding and evidence.rule != UNREAD.id:
            # What is asserted and what is denied are two things.
            name = evidence.observation or evidence.text.lower()
            node = f"{evidence.value} {name}"
            weight = _PREFERENCE.get(evidence.value, _DOUBTED)
            attributes = [f"{a.name} {a.value}" for a in evidence.attributes]
            nodes.append((node, weight if evidence.observation else weight / 2, attributes))
    return nodes


def _broken(text: str, span: tuple[int, int]) -> bool:
    """Whether words of a sentence were taken out of it."""
    return _MARK.search(text, *span) is not None


def _nodes(sentence: str, findings: list[tuple[str, float, list[str]]], broken: bool) -> _Content:
    """What a sentence names; a broken one is of worth for its findings only."""
    if broken and not findings:
        return _Content([], [])
    words = [w for w in _TOKEN.findall(sentence.lower()) if len(w) > 2 and w not in _STOP]
    return _Content(findings, words)


def _add(graph: _Graph, content: _Content) -> None:
    for node, weight, attributes in content.findings:
        graph.like(node, weight)
        for attribute in attributes:
            graph.like(attribute, _WORD)
            graph.join(node, attribute, _RELATION)
    for i, (a, _, _) in enumerate(content.findings):
        for b, _, _ in content.findings[i + 1 :]:
            graph.join(a, b, _RELATION)
    for i, word in enumerate(content.words):
        graph.like(word, _WORD)
        for near in content.words[max(0, i - _WINDOW) : i]:
            graph.join(word, near, _NEAR)
        for node, _, _ in content.findings:
            graph.join(word, node, _NEAR / 2)


def _chosen(
    sentences: Sequence[str], contents: Sequence[_Content], ranks: dict[str, float], budget: int
) -> list[int]:
    """The sentences by what they add for their length, as many as there is room for."""
    chosen: list[int] = []
    told: set[str] = set()
    nodes = [one.all() for one in contents]
    needs = [tokens(sentence) for sentence in sentences]
    rest = [i for i, named in enumerate(nodes) if named]
    least = 0.0
    while rest:
        gains = {
            i: _sum(ranks, nodes[i] - told)
            * (1 if contents[i].findings else _ASIDE)
            / math.log(4 + needs[i])
            for i in rest
        }
        best = max(rest, key=lambda i: (gains[i], -i))
        least = least or gains[best] * _LEAST
        if chosen and (gains[best] < least or nodes[best] <= told):
            break  # what the others add is not more, and only falls
        chosen.append(best)
        told |= nodes[best]
        budget -= needs[best]
        rest = [i for i in rest if i != best and needs[i] <= budget]
    return chosen


def _sum(ranks: dict[str, float], nodes: Iterable[str]) -> float:
    return sum(ranks[node] for node in sorted(nodes))


def _clean(sentence: str) -> str:
    """On one line, without marks of de-identification."""
    return " ".join(word for word in sentence.split() if not _MARK.fullmatch(word))


def _cut(sentence: str, budget: int) -> str:
    words: list[str] = []
    for word in sentence.split():
        budget -= tokens(word)
        if budget < 0:
            break
        words.append(word)
    return " ".join(words)
