"""Finite-width contractions of parametrised layers: Grams and parameter gradients without Jacobians."""

from ntkng.layers.contraction import gram as gram
from ntkng.layers.contraction import kronecker_factors as kronecker_factors
from ntkng.layers.contraction import pullback as pullback
from ntkng.layers.contraction import pushforward as pushforward
from ntkng.layers.descent import descend as descend
from ntkng.layers.record import LayerRecord as LayerRecord
