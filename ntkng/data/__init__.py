"""Data: digits of scikit-learn, a synthetic teacher, MNIST and CIFAR-10, other images in their layout, tables of one's own."""

from ntkng.data.dataset import Dataset as Dataset
from ntkng.data.dataset import Split as Split
from ntkng.data.frame import from_frame as from_frame
from ntkng.data.images import load_images as load_images
from ntkng.data.load import load as load
from ntkng.data.sphere import on_sphere as on_sphere
from ntkng.data.standard import standardise as standardise
from ntkng.data.targets import encode as encode
from ntkng.data.teacher import gaussian_teacher as gaussian_teacher
