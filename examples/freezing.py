"""Fine-tuning: a network that reads the digits 0 to 4 learns 5 to 9, and only its head changes.

    python -m pip install "tensorgrad[examples]"
    python freezing.py [--epochs 15] [--device cpu] [--seed 0]

The chapter's case of frozen parameters: ``requires_grad_(False)`` for all layers but the last, and an optimizer
that is given the last layer's parameters. The frozen layers stay as they were, bit by bit, they get no
gradients, and nothing is recorded for them: backward ends at the head.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import load_digits

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_nn.functional as F
from tensorgrad_optim import SGD


class Reader(nn.Module):
    """Layers that find features, and a head that tells five digits apart by them."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU())
        self.head = nn.Linear(64, 5)

    def forward(self, images: tensorgrad.Tensor) -> tensorgrad.Tensor:
        scores: tensorgrad.Tensor = self.head(self.features(images))
        return scores


def load(first: int, device: tensorgrad.device) -> list[tensorgrad.Tensor]:
    """Images and labels of the five digits from `first` on, to train with and to test with."""
    bunch = load_digits()
    chosen = (bunch.target >= first) & (bunch.target < first + 5)
    images = tensorgrad.from_numpy((bunch.data[chosen] / 16).astype(np.float32)).to(device)
    labels = tensorgrad.from_numpy(bunch.target[chosen].astype(np.int64) - first).to(device)
    n_test = len(labels) // 5
    return [images[n_test:], labels[n_test:], images[:n_test], labels[:n_test]]


def train(
    network: nn.Module, optimizer: SGD, images: tensorgrad.Tensor, labels: tensorgrad.Tensor, epochs: int
) -> None:
    for _ in range(epochs):
        for chosen in tensorgrad.randperm(len(labels)).to(images.device).split(32):
            optimizer.zero_grad()
            F.cross_entropy(network(images[chosen]), labels[chosen]).backward()
            optimizer.step()


def accuracy(network: nn.Module, images: tensorgrad.Tensor, labels: tensorgrad.Tensor) -> float:
    with tensorgrad.no_grad():
        return float((network(images).argmax(1) == labels).float().mean())


def recorded_nodes(result: tensorgrad.Tensor) -> list[str]:
    """The names of the nodes that backward from `result` would run."""
    names, waiting, seen = [], [result.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is not None and node not in seen:
            seen.add(node)
            names.append(type(node).__name__)
            waiting += [target for target, _ in node.next_functions]
    return names


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Train on 0 to 4, fine-tune on 5 to 9; return the accuracies."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15, help="of each of the two trainings")
    parser.add_argument("--device", default="cpu", help="where to compute, such as cpu, opencl or cuda:0")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    tensorgrad.manual_seed(options.seed)
    device = tensorgrad.device(options.device)
    network = Reader().to(device)

    # The pretraining: every layer learns.
    images, labels, test_images, test_labels = load(0, device)
    optimizer = SGD(network.parameters(), lr=0.1, momentum=0.9)
    train(network, optimizer, images, labels, options.epochs)
    results = {"pretrained, 0 to 4": accuracy(network, test_images, test_labels)}
    nodes_before = recorded_nodes(network(test_images))

    # The fine-tuning: freeze all, then make a new head, whose parameters are the only ones that learn.
    for parameter in network.parameters():
        parameter.requires_grad_(False)
        parameter.grad = None
    network.head = nn.Linear(64, 5).to(device)
    optimizer = SGD(network.head.parameters(), lr=0.1, momentum=0.9)
    frozen = {name: value.clone() for name, value in network.features.state_dict().items()}

    images, labels, test_images, test_labels = load(5, device)
    results["new head, untrained"] = accuracy(network, test_images, test_labels)
    train(network, optimizer, images, labels, options.epochs)
    results["fine-tuned, 5 to 9"] = accuracy(network, test_images, test_labels)

    for name, share in results.items():
        print(f"{name:22} {share:.2%}")
    nodes_after = recorded_nodes(network(test_images))
    print(f"recorded for backward, before: {', '.join(nodes_before)}")
    print(f"recorded for backward, frozen: {', '.join(nodes_after)}")
    for name, value in network.features.state_dict().items():
        assert tensorgrad.equal(value, frozen[name]), name
    assert all(parameter.grad is None for parameter in network.features.parameters())
    print(f"the {len(frozen)} frozen tensors are bit-identical, and have no gradients")
    return results


if __name__ == "__main__":
    main()
