"""Training-free methods whose attention comes from other models: ProxyCLIP and Trident.

ProxyCLIP needs the core's `ProxyEncoder` alone. This package registers `TridentEncoder`.
"""

from .trident import TridentEncoder

__all__ = ["TridentEncoder"]
