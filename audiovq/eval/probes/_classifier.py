"""The one classifier of the probes: logistic regression of a fixed strength."""

import numpy as np

from audiovq.errors import ConfigError
from audiovq.eval.estimate import Floats
from audiovq.eval.probes._base import Ints

# Inverse strength of the L2 term. Fixed for all units and corpora, so that nothing is tuned on
# what is tested; once vectors are scaled, 1 to 1000 differ by at most .01 on speechocean762.
_C = 10.0


def require() -> None:
    """Raise ConfigError unless scikit-learn is installed."""
    try:
        import sklearn.linear_model  # noqa: F401, PLC0415
    except ImportError:
        raise ConfigError(
            'probes need scikit-learn, which is not installed: pip install "audiovq[units]"'
        ) from None


def predict(train: Floats, labels: Ints, test: Floats) -> Ints:
    """Return the label of each test vector by multinomial logistic regression.

    Vectors are centred on the training part's mean and scaled to a mean squared length of 1.

    Args:
        train: (N, D).
        labels: of the N.
        test: (M, D).
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415

    if len(np.unique(labels)) == 1:  # which it refuses to fit
        return np.full(len(test), labels[0])
    centre = train.mean(axis=0)
    train, test = train - centre, test - centre
    length = np.sqrt((train**2).sum(axis=1).mean()) or 1.0
    train, test = train / length, test / length
    if train.shape[1] > 2 * len(train):  # the solution lies in their span: fewer axes do
        basis = np.linalg.qr(train.T)[0]
        train, test = train @ basis, test @ basis
    model = LogisticRegression(C=_C, max_iter=2000).fit(train, labels)
    return np.asarray(model.predict(test))
