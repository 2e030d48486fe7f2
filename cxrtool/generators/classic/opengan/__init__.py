"""OpenGAN (Ditria, Meyer and Drummond, ACCV 2020, arXiv 2003.08388): a generator of features.

(Not the method of the same name for open-set recognition.) A metric network learns a space in which
images of a class lie together; the generator is conditioned on a point of that space, so that a
class that it has never seen can be generated from the features of its few images. `metric`: its
network, Gaussian-kernel classifier, and features by class; `networks`: generator and discriminator;
`trainer`: both stages, and the finished networks.
"""
