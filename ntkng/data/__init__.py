"""Data: digits that come with scikit-learn, a synthetic teacher, MNIST and CIFAR-10 from a folder or from OpenML."""

from ntkng.data.dataset import Dataset as Dataset
from ntkng.data.dataset import Split as Split
from ntkng.data.load import load as load
from ntkng.data.sphere import on_sphere as on_sphere
from ntkng.data.targets import encode as encode
from ntkng.data.teacher import gaussian_teacher as gaussian_teacher
