"""Makes codes.json: probes fitted by scikit-learn and geometry computed by numpy.

Run with scikit-learn 1.9.1 and numpy in this folder: python make.py > codes.json
"""

import json

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeClassifier

rng = np.random.default_rng(7)


def rounded(array):
    return np.asarray(array, dtype=float).round(9).tolist()


def samples(count, width, classes):
    labels = np.arange(count) % classes
    centres = rng.normal(size=(classes, width))
    # float32, as activations are.
    rows = (centres[labels] + 1.5 * rng.normal(size=(count, width))).astype(np.float32)
    return rows, labels


def probe(model, rows, labels, test, test_labels):
    model.fit(rows.astype(float), labels)
    read = model.predict(test.astype(float))
    recalls = [float((read[test_labels == c] == c).mean()) for c in np.unique(test_labels)]
    return {
        "weights": rounded(np.atleast_2d(model.coef_)),
        "intercept": rounded(np.atleast_1d(model.intercept_)),
        "balanced_accuracy": float(np.mean(recalls)),
    }


def case(classes):
    rows, labels = samples(90, 6, classes)
    train, test = slice(0, 60), slice(60, 90)
    arguments = (rows[train], labels[train], rows[test], labels[test])
    logistic = LogisticRegression(C=0.5, max_iter=2000, tol=1e-9)
    return {
        "rows": rows.astype(float).tolist(),
        "labels": labels.tolist(),
        "training": 60,
        "logistic_c_0.5": probe(logistic, *arguments),
        "ridge_alpha_2": probe(RidgeClassifier(alpha=2.0), *arguments),
    }


def off_axis(first, second, third):
    """The unbiased statistics, written with explicit sums over different samples."""

    def product(a, b):
        if a is b:
            gram = a @ a.T
            return (gram.sum() - np.trace(gram)) / (len(a) * (len(a) - 1))
        return (a @ b.T).mean()

    def from_first(a, b):
        return (
            product(a, b) - product(a, first) - product(b, first) + product(first, first)
        )

    axis = from_first(second, second)
    along = from_first(second, third) / axis
    return {
        "squared_distance": axis,
        "squared_ratio": from_first(third, third) / axis - along**2,
        "along": along,
    }


groups = [rng.normal(size=(25, 8)) + c for c in (0.0, 0.7, rng.normal(size=8))]
points = rng.normal(size=(10, 7))
a, b = rng.normal(size=(2, 9)), rng.normal(size=(3, 9))
qa, qb = np.linalg.qr(a.T)[0], np.linalg.qr(b.T)[0]
cosines = np.linalg.svd(qa.T @ qb, compute_uv=False)
centred = points - points.mean(axis=0)
eigenvalues = np.linalg.eigvalsh(centred.T @ centred)
spectrum = (np.abs(np.fft.fft(centred, axis=0)) ** 2).sum(axis=1)
left, singular, _ = np.linalg.svd(centred)
plane = left[:, :2] * singular[:2]
angles = np.arctan2(plane[:, 1], plane[:, 0])
turn = 2 * np.pi * np.arange(10) / 10
order = max(abs(np.exp(1j * (angles - sign * turn)).mean()) for sign in (1, -1))

print(
    json.dumps(
        {
            "two": case(2),
            "four": case(4),
            "groups": [group.tolist() for group in groups],
            "off_axis": off_axis(*groups),
            "a": a.tolist(),
            "b": b.tolist(),
            "angles": np.degrees(np.arccos(np.clip(cosines, -1, 1))).tolist(),
            "points": points.tolist(),
            "participation_ratio": eigenvalues.sum() ** 2 / (eigenvalues**2).sum(),
            "frequency_shares": (
                np.array([2, 2, 2, 2, 1]) * spectrum[1:6] / spectrum[1:].sum()
            ).tolist(),
            "circular_order": order,
        },
        indent=1,
    )
)
