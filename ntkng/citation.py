"""How to cite: the BibTeX of exactly the pieces that were used."""

from __future__ import annotations

from typing import Any

__all__ = ["REFERENCES", "citation"]

REFERENCES: dict[str, str] = {
    "ntkng": """@software{ntkng,
  title   = {ntkng: infinite-width theory of natural gradient descent, checked against finite networks},
  author  = {{The ntkng authors}},
  version = {0.1.0},
  year    = {2026},
}""",
    "karakida-osawa-2020": """@inproceedings{karakida-osawa-2020,
  title     = {Understanding Approximate {F}isher Information for Fast Convergence of Natural Gradient Descent in Wide
               Neural Networks},
  author    = {Karakida, Ryo and Osawa, Kazuki},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {33},
  pages     = {10891--10901},
  year      = {2020},
}""",
    "kerekes-2021": """@misc{kerekes-2021,
  title         = {Depth Without the Magic: Inductive Bias of Natural Gradient Descent},
  author        = {Kerekes, Anna and M{\\'e}sz{\\'a}ros, Anna and Husz{\\'a}r, Ferenc},
  year          = {2021},
  eprint        = {2111.11542},
  archiveprefix = {arXiv},
}""",
    "buffelli-2024": """@inproceedings{buffelli-2024,
  title     = {Exact, Tractable {G}auss-{N}ewton Optimization in Deep Reversible Architectures Reveal Poor
               Generalization},
  author    = {Buffelli, Davide and McGowan, Jamie and Xu, Wangkun and Cioba, Alexandru and Shiu, Da-shan and
               Hennequin, Guillaume and Bernacchia, Alberto},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {37},
  year      = {2024},
}""",
    "martens-2020": """@article{martens-2020,
  title   = {New Insights and Perspectives on the Natural Gradient Method},
  author  = {Martens, James},
  journal = {Journal of Machine Learning Research},
  volume  = {21},
  number  = {146},
  pages   = {1--76},
  year    = {2020},
}""",
    "martens-grosse-2015": """@inproceedings{martens-grosse-2015,
  title     = {Optimizing Neural Networks with {K}ronecker-factored Approximate Curvature},
  author    = {Martens, James and Grosse, Roger},
  booktitle = {Proceedings of the 32nd International Conference on Machine Learning},
  series    = {Proceedings of Machine Learning Research},
  volume    = {37},
  pages     = {2408--2417},
  year      = {2015},
}""",
    "grosse-martens-2016": """@inproceedings{grosse-martens-2016,
  title     = {A {K}ronecker-factored Approximate {F}isher Matrix for Convolution Layers},
  author    = {Grosse, Roger and Martens, James},
  booktitle = {Proceedings of the 33rd International Conference on Machine Learning},
  series    = {Proceedings of Machine Learning Research},
  volume    = {48},
  pages     = {573--582},
  year      = {2016},
}""",
    "eschenhagen-2023": """@inproceedings{eschenhagen-2023,
  title     = {{K}ronecker-Factored Approximate Curvature for Modern Neural Network Architectures},
  author    = {Eschenhagen, Runa and Immer, Alexander and Turner, Richard E. and Schneider, Frank and
               Hennig, Philipp},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {36},
  year      = {2023},
}""",
    "kunstner-hennig-balles-2019": """@inproceedings{kunstner-hennig-balles-2019,
  title     = {Limitations of the Empirical {F}isher Approximation for Natural Gradient Descent},
  author    = {Kunstner, Frederik and Hennig, Philipp and Balles, Lukas},
  booktitle = {Advances in Neural Information Processing Systems},
  volume    = {32},
  pages     = {4156--4167},
  year      = {2019},
}""",
    "novak-2020": """@inproceedings{novak-2020,
  title     = {Neural Tangents: Fast and Easy Infinite Neural Networks in {P}ython},
  author    = {Novak, Roman and Xiao, Lechao and Hron, Jiri and Lee, Jaehoon and Alemi, Alexander A. and
               Sohl-Dickstein, Jascha and Schoenholz, Samuel S.},
  booktitle = {International Conference on Learning Representations},
  year      = {2020},
}""",
    "barthe-1998": """@article{barthe-1998,
  title   = {On a Reverse Form of the {B}rascamp-{L}ieb Inequality},
  author  = {Barthe, Franck},
  journal = {Inventiones Mathematicae},
  volume  = {134},
  number  = {2},
  pages   = {335--361},
  year    = {1998},
}""",
    "forster-2002": """@article{forster-2002,
  title   = {A Linear Lower Bound on the Unbounded Error Probabilistic Communication Complexity},
  author  = {Forster, J{\\"u}rgen},
  journal = {Journal of Computer and System Sciences},
  volume  = {65},
  number  = {4},
  pages   = {612--625},
  year    = {2002},
}""",
    "amari-1998": """@article{amari-1998,
  title   = {Natural Gradient Works Efficiently in Learning},
  author  = {Amari, Shun-ichi},
  journal = {Neural Computation},
  volume  = {10},
  number  = {2},
  pages   = {251--276},
  year    = {1998},
}""",
}


def citation(*pieces: Any) -> str:
    """The BibTeX of the given pieces, each entry once, in the order of first use; of ntkng itself if none is given.

    Example:
        `citation(KFAC(), "novak-2020")` cites the wide-network theory, K-FAC and Neural Tangents.

    Args:
        *pieces: keys of `REFERENCES`, or classes or objects with an attribute `reference`, a tuple of such keys (every
            Fisher approximation has one).

    Raises:
        ValueError: for an unknown key; the known ones are listed.
        TypeError: for an object without `reference`.
    """
    keys = dict.fromkeys(key for piece in pieces or ("ntkng",) for key in _keys(piece))
    return "\n\n".join(REFERENCES[key] for key in keys)


def _keys(piece: Any) -> tuple[str, ...]:
    if isinstance(piece, str):
        keys: tuple[str, ...] = (piece,)
    else:
        found = getattr(piece, "reference", None)
        if isinstance(found, str) or not isinstance(found, (tuple, list)):
            raise TypeError(
                f"{piece!r} has no tuple `reference` of citation keys, got {found!r}; "
                f"pass a key such as 'martens-2020' or give its class reference = ('martens-2020',)"
            )
        keys = tuple(found)
    unknown = [key for key in keys if key not in REFERENCES]
    if unknown:
        raise ValueError(f"unknown reference {unknown}; choose from {sorted(REFERENCES)}")
    return keys
