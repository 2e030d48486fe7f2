"""How fast `cxr prepare` is, against Pillow alone, and how much memory it needs.

Phantoms are written at 2,500 x 2,000 px as JPEG and as PNG: 200 of each, and hard links to them up
to the number of images (a tenth of it for PNG, which takes ten times as long). Then, in turns in
one run: two processes that do nothing but ``Image.open(file).convert("L")`` on half of the files
each, and the whole command ``cxr prepare --workers 2`` from its start to its exit (interpreter,
hashing of the source, decoding, resizing, keys, PNGs, manifest). The ratio is the rate of the
second over that of the first; beside the clock it is given in CPU seconds of all processes, which
other work on the machine disturbs less, and without the time that either needs for a single image.
Then the peak memory of the command and its workers for 500 and 5,000 images (links again).

And `cxr prepare --labels-only` on CheXpert's training table of 223,414 rows (that of the wheel of
torchxrayvision, or one of its size and form), as a folder and as a table, against a Python that
does nothing but ``pandas.read_csv`` of it, each from its start to its exit, and against that call
alone. And `cxr prepare --explain` on a tree of CheXpert's 223,414 files (empty ones) and on 200
folders of 1,000 files.

    python benchmarks/data.py                        # 2,000 images, 3 rounds; then all the others
    python benchmarks/data.py --images 60 --rounds 1 --only speed
    python benchmarks/data.py --only labels

Python keeps its bytecode, as it does for a person who calls a command a second time. Prints one
JSON object.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
from PIL import Image

HEIGHT, WIDTH = 2500, 2000
DRAWN_PX = 500
DISTINCT = 24
FILES = 200
PARTS = ("speed", "memory", "labels", "explain")
FORMATS: dict[str, dict[str, Any]] = {"jpeg": {"quality": 90}, "png": {"compress_level": 3}}
WORKERS = 2
ROWS = 223_414
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def originals() -> list[Image.Image]:
    """Phantoms, enlarged to the size of an archive's images."""
    from cxrtool.phantom import sample_patient, simulate

    drawn_images: list[Image.Image] = []
    patient = 0
    while len(drawn_images) < DISTINCT:
        for study in sample_patient(0, patient).studies:
            for image in study.images:
                drawn = Image.fromarray(simulate(image.params, DRAWN_PX))
                # The square document is stretched a little; only its bytes matter here.
                drawn_images.append(drawn.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
        patient += 1
    return drawn_images[:DISTINCT]


def write_images(folder: Path, count: int) -> None:
    """Files of both formats; detector noise of its own makes `FILES` of them different."""
    images = originals()
    noise = np.random.default_rng(0).normal(0, 2.0, (HEIGHT + 64, WIDTH + 64)).astype(np.float32)

    def write(half: int) -> None:
        for index in range(half, min(count, FILES), WORKERS):
            y, x = divmod(index % 4096, 64)
            grain = noise[y : y + HEIGHT, x : x + WIDTH]
            pixels = np.asarray(images[index % DISTINCT], np.float32) + grain
            image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
            for name, options in FORMATS.items():
                image.save(folder / name / file_name(index, name), **options)

    for name in FORMATS:
        (folder / name).mkdir(parents=True)
    side_by_side(write)
    for name in FORMATS:
        some = count if name == "jpeg" else max(1, count // 10)
        for index in range(min(count, FILES), some):
            os.link(
                folder / name / file_name(index % FILES, name),
                folder / name / file_name(index, name),
            )
        rows = "".join(f"{file_name(i, name)},p{i // 2},{i % 2}\n" for i in range(some))
        (folder / name / "labels.csv").write_text("path,patient_id,Edema\n" + rows)


def file_name(index: int, name: str) -> str:
    return f"{index:05d}.{'jpg' if name == 'jpeg' else 'png'}"


def side_by_side(work: Callable[[int], None]) -> None:
    """``work(0)`` and ``work(1)`` in two processes."""
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(half,)) for half in range(WORKERS)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


class Watch(threading.Thread):
    """Peak memory and CPU time of a process and all below it, looked at 20 times a second.

    Workers are children of a fork server, so the usual accounts of a parent do not see them.
    """

    def __init__(self, pid: int) -> None:
        super().__init__()
        self.pid = pid
        self.peak_bytes = 0
        self._cpu: dict[int, float] = {}
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.05):
            self.look()

    def look(self) -> None:
        parents: dict[int, list[int]] = {}
        rss, cpu = {}, {}
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    stat = Path("/proc", entry, "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                pid = int(entry)
                parents.setdefault(int(stat[1]), []).append(pid)
                rss[pid] = int(stat[21]) * os.sysconf("SC_PAGE_SIZE")
                cpu[pid] = (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
        total, stack = 0, [self.pid]
        while stack:
            pid = stack.pop()
            total += rss.get(pid, 0)
            self._cpu[pid] = max(cpu.get(pid, 0.0), self._cpu.get(pid, 0.0))
            stack += parents.get(pid, [])
        self.peak_bytes = max(self.peak_bytes, total)

    def stop(self) -> None:
        self._done.set()
        self.join()

    @property
    def cpu_s(self) -> float:
        return sum(self._cpu.values())


def watched(command: list[str]) -> tuple[float, Watch]:
    """(wall seconds, what was seen) of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=ENVIRONMENT)
    watch = Watch(process.pid)
    watch.start()
    code = process.wait()
    wall = time.perf_counter() - start
    watch.stop()
    if code:
        raise SystemExit(f"{command} ended with {code}")
    return wall, watch


def pillow(folder: Path) -> list[str]:
    """The command that decodes with Pillow alone."""
    return [sys.executable, __file__, "--pillow", str(folder)]


def run_pillow(folder: Path) -> None:
    with open(folder / "labels.csv", encoding="utf-8") as table:
        files = [str(folder / line.partition(",")[0]) for line in table][1:]

    def decode(half: int) -> None:
        for file in files[half::WORKERS]:
            with Image.open(file) as image:
                image.convert("L")

    side_by_side(decode)


def command(folder: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-m", "cxrtool", "prepare", str(folder), "--format", "table", "-q"),
        *("--size", "128", "--workers", str(WORKERS), "-o", str(out)),
    ]


def measure_speed(folder: Path, out: Path, rounds: int) -> dict[str, object]:
    few = folder / "few"
    if not few.exists():
        few.mkdir()
        Image.new("L", (WIDTH, HEIGHT)).save(few / "0.png")
        (few / "labels.csv").write_text("path,patient_id,Edema\n0.png,p,1\n")
    start_s = [9e9, 9e9]
    for _ in range(rounds):
        shutil.rmtree(out, ignore_errors=True)
        start_s[0] = min(start_s[0], watched(pillow(few))[0])
        line = [*command(few, out), "--split-by", "none"]
        start_s[1] = min(start_s[1], watched(line)[0])
    speed: dict[str, object] = {"start_s": {"pillow": start_s[0], "prepare": start_s[1]}}
    for name in FORMATS:
        watched(pillow(folder / name))  # the files are in memory from now on
        walls: list[list[float]] = [[], []]
        cpus: list[list[float]] = [[], []]
        for _ in range(rounds):
            for kind, line in enumerate((pillow(folder / name), command(folder / name, out))):
                shutil.rmtree(out, ignore_errors=True)
                wall, watch = watched(line)
                walls[kind].append(wall)
                cpus[kind].append(watch.cpu_s)
        # Other work on the machine only ever adds time, so the best round is the truest.
        wall_s, cpu_s = ([min(v) for v in values] for values in (walls, cpus))
        sizes = [p.stat().st_size for p in (folder / name).iterdir() if p.suffix != ".csv"]
        count = len((folder / name / "labels.csv").read_text().splitlines()) - 1
        speed[name] = {
            "images": count,
            "megabytes_a_file": round(sum(sizes) / len(sizes) / 1e6, 2),
            "pillow_images_per_s": round(count / wall_s[0], 1),
            "prepare_images_per_s": round(count / wall_s[1], 1),
            "ratio_wall": round(wall_s[0] / wall_s[1], 3),
            "ratio_wall_without_start": round(
                (wall_s[0] - start_s[0]) / (wall_s[1] - start_s[1]), 3
            ),
            "ratio_cpu": round(cpu_s[0] / cpu_s[1], 3),
        }
    return speed


def measure_memory(folder: Path, out: Path, counts: tuple[int, ...]) -> dict[str, float]:
    """Peak MiB of the command and its workers, for several numbers of images."""
    peaks = {}
    files = sorted(p for p in (folder / "jpeg").iterdir() if p.suffix == ".jpg")
    for count in counts:
        links = folder / f"links{count}"
        links.mkdir()
        with open(links / "labels.csv", "w", encoding="utf-8") as stream:
            stream.write("path,patient_id,Edema\n")
            for index in range(count):
                os.link(files[index % len(files)], links / f"{index}.jpg")
                stream.write(f"{index}.jpg,p{index},{index % 2}\n")
        shutil.rmtree(out, ignore_errors=True)
        _, watch = watched(command(links, out))
        peaks[str(count)] = round(watch.peak_bytes / 2**20, 1)
        shutil.rmtree(links)
    return peaks


def write_labels(folder: Path) -> Path:
    """CheXpert's training table in a folder as its download has it."""
    table = folder / "CheXpert-v1.0-small" / "train.csv"
    if table.exists():
        return table
    table.parent.mkdir(parents=True)
    spec = importlib.util.find_spec("torchxrayvision")
    if spec is not None and spec.origin is not None:
        packed = Path(spec.origin).parent / "data" / "chexpert_train.csv.gz"
        table.write_bytes(gzip.decompress(packed.read_bytes()))
        return table
    from cxrtool.data.labels import CHEXPERT

    rng = np.random.default_rng(0)
    cells = rng.choice(["", "0.0", "-1.0", "1.0"], (ROWS, len(CHEXPERT)), p=[0.7, 0.1, 0.05, 0.15])
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT)
    lines = [
        f"CheXpert-v1.0-small/train/patient{row // 4:05d}/study{row % 4}/view1_frontal.jpg,"
        f"Male,{row % 90},Frontal,AP,{','.join(line)}"
        for row, line in enumerate(cells)
    ]
    table.write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    return table


def measure_labels(folder: Path, out: Path, rounds: int) -> dict[str, object]:
    """Seconds of each way (best of the rounds), and what they are of reading the table alone."""
    table = write_labels(folder)
    reading = f"import pandas; pandas.read_csv({str(table)!r})"
    lines = {"read_csv": [sys.executable, "-c", reading]}
    for name, source in (("folder", table.parent), ("table", table)):
        words = ["prepare", str(source), "--format", "chexpert", "--labels-only", "-q"]
        lines[name] = [sys.executable, "-m", "cxrtool", *words, "-o", str(out)]
    wall_s: dict[str, list[float]] = {name: [] for name in lines}
    cpu_s: dict[str, list[float]] = {name: [] for name in lines}
    peaks: dict[str, int] = dict.fromkeys(lines, 0)
    for _ in range(rounds):
        for name, line in lines.items():
            shutil.rmtree(out, ignore_errors=True)
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            wall, watch = watched(line)
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            wall_s[name].append(wall)
            cpu_s[name].append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
            peaks[name] = max(peaks[name], watch.peak_bytes)
    best = {name: (min(wall_s[name]), min(cpu_s[name])) for name in lines}
    bare_s = []
    for _ in range(rounds + 1):
        start = time.process_time()
        pandas.read_csv(table)
        bare_s.append(time.process_time() - start)
    figures: dict[str, object] = {"bare_call_cpu_s": [round(s, 3) for s in bare_s]}
    figures |= {
        name: {
            "wall_s": round(best[name][0], 2),
            "cpu_s": round(best[name][1], 2),
            "ratio_wall": round(best[name][0] / best["read_csv"][0], 2),
            "ratio_cpu": round(best[name][1] / best["read_csv"][1], 2),
            "peak_mb": round(peaks[name] / 1e6),
        }
        for name in lines
    }
    return figures


def write_trees(folder: Path) -> dict[str, Path]:
    """Empty files: those that CheXpert's table names, and folders of a thousand."""
    table = write_labels(folder / "labels")
    home = folder / "trees"
    if not home.exists():
        with open(table, encoding="utf-8") as lines:
            paths = [home / line.partition(",")[0] for line in lines][1:]
        paths += [home / f"classes/{c:03d}/{i:04d}.png" for c in range(200) for i in range(1000)]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        shutil.copy(table, home / table.parent.name)
    return {"chexpert": home / table.parent.name, "classes": home / "classes"}


def measure_explain(folder: Path, rounds: int) -> dict[str, object]:
    """Seconds of the first call on each tree, of the best one, and its processor time."""
    seconds: dict[str, object] = {}
    for name, source in write_trees(folder).items():
        line = [sys.executable, "-m", "cxrtool", "prepare", str(source), "--explain"]
        walls, cpus = [], []
        for _ in range(rounds + 1):
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            walls.append(watched(line)[0])
            now = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpus.append(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime)
        figures = {"first_wall_s": walls[0], "wall_s": min(walls[1:]), "cpu_s": min(cpus[1:])}
        seconds[name] = {key: round(value, 2) for key, value in figures.items()}
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="keep the images here for another time")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--pillow", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.pillow is not None:
        run_pillow(args.pillow)
        return
    kept = args.folder
    root = Path(tempfile.mkdtemp(prefix="cxr-benchmark-")) if kept is None else kept
    try:
        parts = (args.only,) if args.only else PARTS
        result: dict[str, object] = {"images": args.images, "px": [HEIGHT, WIDTH]}
        if {"speed", "memory"} & {*parts} and not (root / "in").exists():
            write_images(root / "writing", args.images)
            (root / "writing").rename(root / "in")
        if "speed" in parts:
            result["speed"] = measure_speed(root / "in", root / "out", args.rounds)
        if "memory" in parts:
            counts = (args.images // 4, 5 * args.images // 2)
            result["peak_mib"] = measure_memory(root / "in", root / "out", counts)
        if "labels" in parts:
            result["labels"] = measure_labels(root / "labels", root / "out", args.rounds)
        if "explain" in parts:
            result["explain"] = measure_explain(root, args.rounds)
        print(json.dumps(result, indent=2))
    finally:
        if kept is None:
            shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
