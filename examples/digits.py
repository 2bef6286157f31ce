"""A small network learns to read handwritten digits, real ones, and shows how well.

    python -m pip install "tensorgrad[examples]"
    python digits.py [--epochs 25] [--device cpu] [--seed 0] [--output digits-output]

The data are the 1,797 images of 8 by 8 pixels that scikit-learn brings along; a fifth of them is kept for the
test. The directory receives three pictures (loss curves, confusion matrix, misread digits) and the trained
weights as ``digits.safetensors``, which are loaded again into a new network to prove that they are whole. With
``--load FILE`` nothing is trained: the network is read from such a file and tested.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy
from sklearn.datasets import load_digits
from tqdm import tqdm

import tensorgrad
import tensorgrad_nn as nn
import tensorgrad_nn.functional as F
from tensorgrad_optim import SGD

WEIGHTS = "digits.safetensors"


@dataclasses.dataclass
class Digits:
    """Images of 64 grey values from 0 to 1, and what they show."""

    images: tensorgrad.Tensor
    labels: tensorgrad.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, size: int) -> Iterator[Digits]:
        """All of them once, in random order, `size` at a time."""
        order = tensorgrad.randperm(len(self)).to(self.images.device)
        for start in range(0, len(self), size):
            chosen = order[start : start + size]
            yield Digits(self.images[chosen], self.labels[chosen])


def load(device: tensorgrad.device, test_share: float = 0.2) -> tuple[Digits, Digits]:
    """The images to train with and those to test with."""
    bunch = load_digits()
    images = tensorgrad.from_numpy((bunch.data / 16).astype(np.float32))
    labels = tensorgrad.from_numpy(bunch.target.astype(np.int64))
    order = tensorgrad.randperm(len(labels))
    n_test = round(len(labels) * test_share)
    return tuple(  # type: ignore[return-value]
        Digits(images[part].to(device), labels[part].to(device)) for part in (order[n_test:], order[:n_test])
    )


def make_network() -> nn.Module:
    """Two hidden layers; the last layer gives a score for each digit."""
    return nn.Sequential(
        nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10)
    )


def evaluate(network: nn.Module, digits: Digits) -> tuple[float, np.ndarray]:
    """The loss, and the digit that each image is taken for."""
    network.eval()
    with tensorgrad.no_grad():
        scores = network(digits.images)
        loss = F.cross_entropy(scores, digits.labels).item()
    network.train()
    return loss, scores.argmax(1).cpu().numpy()


def accuracy(predicted: np.ndarray, digits: Digits) -> float:
    return float((predicted == digits.labels.cpu().numpy()).mean())


@dataclasses.dataclass
class History:
    """What training has come to, epoch by epoch."""

    train_loss: list[float] = dataclasses.field(default_factory=list)
    test_loss: list[float] = dataclasses.field(default_factory=list)
    test_accuracy: list[float] = dataclasses.field(default_factory=list)


def train(
    network: nn.Module, train_set: Digits, test_set: Digits, epochs: int, batch_size: int = 32
) -> History:
    """Stochastic gradient descent with momentum; the learning rate falls along half a cosine."""
    rate = 0.1
    optimizer = SGD(network.parameters(), lr=rate, momentum=0.9, weight_decay=1e-4)
    history = History()
    with tqdm(range(epochs), desc="training", unit="epoch") as bar:
        for epoch in bar:
            optimizer.param_groups[0]["lr"] = rate * (1 + np.cos(np.pi * epoch / epochs)) / 2
            total = 0.0
            for batch in train_set.batches(batch_size):
                optimizer.zero_grad()
                loss = F.cross_entropy(network(batch.images), batch.labels)
                loss.backward()
                optimizer.step()
                total += loss.item() * len(batch)
            test_loss, predicted = evaluate(network, test_set)
            history.train_loss.append(total / len(train_set))
            history.test_loss.append(test_loss)
            history.test_accuracy.append(accuracy(predicted, test_set))
            bar.set_postfix(loss=f"{history.train_loss[-1]:.4f}", accuracy=f"{history.test_accuracy[-1]:.2%}")
    return history


# ---- the weights -------------------------------------------------------------------------------------
def save_weights(network: nn.Module, path: Path) -> None:
    """Write the network's state_dict; a crash on the way leaves what was at `path` before."""
    arrays = {name: value.detach().cpu().numpy() for name, value in network.state_dict().items()}
    contents = safetensors.numpy.save(arrays, metadata={"format": "tensorgrad"})
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # atomic: whoever opens the path finds the old file or the new one, whole
    except BaseException:
        os.unlink(temporary)
        raise


def load_weights(network: nn.Module, path: Path) -> None:
    """Read what `save_weights` wrote."""
    arrays = safetensors.numpy.load_file(path)
    network.load_state_dict({name: tensorgrad.from_numpy(array) for name, array in arrays.items()})


# ---- pictures ----------------------------------------------------------------------------------------
def draw_loss(history: History, path: Path) -> None:
    """Loss curves of both sets, and the accuracy on the test images."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    epochs = range(1, len(history.train_loss) + 1)
    axes.plot(epochs, history.train_loss, label="loss, training")
    axes.plot(epochs, history.test_loss, label="loss, test")
    axes.set(xlabel="epoch", ylabel="cross entropy", yscale="log", title="Learning to read digits")
    right = axes.twinx()
    right.plot(epochs, [100 * value for value in history.test_accuracy], "k:", label="accuracy, test")
    right.set(ylabel="accuracy in %")
    figure.legend(loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def confusion_matrix(predicted: np.ndarray, digits: Digits) -> np.ndarray:
    """``matrix[i, j]``: how many images of digit i were taken for digit j."""
    matrix = np.zeros((10, 10), dtype=int)
    np.add.at(matrix, (digits.labels.cpu().numpy(), predicted), 1)
    return matrix


def draw_confusion(matrix: np.ndarray, path: Path) -> None:
    """Each number in a square whose colour shows the share of its row."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 5.4), layout="constrained")
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour)
    axes.set(xticks=range(10), yticks=range(10), xlabel="read as", ylabel="is", title="Test images")
    figure.colorbar(image, label="share of the row")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_misread(predicted: np.ndarray, digits: Digits, path: Path, most: int = 24) -> None:
    """The images that were taken for another digit."""
    import matplotlib.pyplot as plt

    labels, images = digits.labels.cpu().numpy(), digits.images.cpu().numpy()
    wrong = np.flatnonzero(predicted != labels)
    shown = wrong[:most]
    columns = 6
    rows = max(1, -(-len(shown) // columns))
    figure, grid = plt.subplots(
        rows, columns, figsize=(1.5 * columns, 1.8 * rows + 0.4), layout="constrained", squeeze=False
    )
    for axes in grid.flat:
        axes.axis("off")
    for axes, i in zip(grid.flat, shown):
        axes.imshow(images[i].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(f"{labels[i]} read as {predicted[i]}", fontsize=9)
    more = f", {len(shown)} of them shown" if len(shown) < len(wrong) else ""
    figure.suptitle(f"{len(wrong)} of {len(labels)} test images misread{more}")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> float:
    """Train, test, save and draw; return the accuracy on the test images."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--device", default="cpu", help="where to compute, such as cpu, opencl or cuda:0")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("digits-output"), help="directory for the results")
    parser.add_argument("--load", type=Path, metavar="FILE", help="test the network in this file, train nothing")
    options = parser.parse_args(arguments)

    import matplotlib

    matplotlib.use("Agg")  # draws into files, on machines without a display too
    tensorgrad.manual_seed(options.seed)
    device = tensorgrad.device(options.device)
    train_set, test_set = load(device)
    network = make_network().to(device)
    options.output.mkdir(parents=True, exist_ok=True)
    print(f"{len(train_set)} images to train with, {len(test_set)} to test with, on {device}")
    if options.load is not None:
        load_weights(network, options.load)
    else:
        start = time.perf_counter()
        history = train(network, train_set, test_set, options.epochs)
        print(f"trained for {options.epochs} epochs in {time.perf_counter() - start:.1f} s")
        draw_loss(history, options.output / "loss.png")
        save_weights(network, options.output / WEIGHTS)
        # What is tested below is what the file holds.
        network = make_network().to(device)
        load_weights(network, options.output / WEIGHTS)
    _, predicted = evaluate(network, test_set)
    share = accuracy(predicted, test_set)
    print(f"accuracy on the test images: {share:.2%}")
    draw_confusion(confusion_matrix(predicted, test_set), options.output / "confusion.png")
    draw_misread(predicted, test_set, options.output / "misread.png")
    print(f"pictures and weights are in {options.output}")
    return share


if __name__ == "__main__":
    main()
