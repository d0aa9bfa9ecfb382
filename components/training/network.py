"""The network: an ensemble of small perceptrons over encoded columns, preprocessing included.

All preprocessing is in the module's buffers, so the exported graph takes raw columns.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from loopline.components.contract.spec import ModelSpec

# The outermost quantiles of the encoding: values beyond them are clipped to them.
EXTREMES = (0.001, 0.999)
SMALLEST_WIDTH = torch.finfo(torch.float32).tiny


class PiecewiseLinear(nn.Module):
    """Encodes a number by its position in each of its quantile bins, with a flag for missing values.

    The encoding of Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning", centred
    on the training rows.
    """

    low: Tensor  # [F], the first edge
    high: Tensor  # [F], the last edge
    start: Tensor  # [F, bins]
    slope: Tensor  # [F, bins], 1 / width; 0 pads features with fewer distinct quantiles
    centre: Tensor  # [F, bins], mean encoding of the training rows

    def __init__(self, numbers: int, bins: int) -> None:
        super().__init__()
        self.register_buffer("low", torch.zeros(numbers))
        self.register_buffer("high", torch.zeros(numbers))
        for name in ("start", "slope", "centre"):
            self.register_buffer(name, torch.zeros(numbers, bins))
        self.width = numbers * (bins + 1)

    @torch.no_grad()
    def fit(self, numbers: Tensor) -> None:
        """Set the bins from training rows, [N, F] with NaN where missing; a constant feature gets none."""
        bins = self.start.shape[1]
        quantiles = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
        quantiles[0], quantiles[-1] = EXTREMES
        for feature in range(numbers.shape[1]):
            values = numbers[:, feature]
            values = values[torch.isfinite(values)].double()
            if not len(values):
                continue
            edges = torch.unique_consecutive(_quantiles(values, quantiles).float())
            if len(edges) < 2 and values.min() < values.max():
                edges = torch.stack([values.min(), values.max()]).float()
            self.low[feature], self.high[feature] = edges[0], edges[-1]
            pieces = len(edges) - 1
            self.start[feature, :pieces] = edges[:-1]
            width = edges.diff()
            # The reciprocal of a denormal width is infinite; a bin so narrow separates nothing.
            self.slope[feature, :pieces] = torch.where(width >= SMALLEST_WIDTH, 1 / width, 0.0)
        self.centre.copy_(torch.nanmean(self._pieces(numbers), dim=0).nan_to_num())

    def forward(self, numbers: Tensor) -> Tensor:
        """[N, F] with NaN where missing -> [N, F * (bins + 1)]."""
        missing = torch.isnan(numbers)
        filled = torch.where(missing, self.low, numbers)
        pieces = self._pieces(filled) - self.centre
        pieces = torch.where(missing.unsqueeze(-1), torch.zeros_like(pieces), pieces)
        return torch.cat([pieces.flatten(1), missing.to(numbers.dtype)], dim=1)

    def _pieces(self, numbers: Tensor) -> Tensor:
        inside = torch.minimum(torch.maximum(numbers, self.low), self.high)
        return ((inside.unsqueeze(-1) - self.start) * self.slope).clamp(0, 1)


class Ensemble(nn.Module):
    """Independent perceptrons computed as one wide layer; each has its own loss, and their mean is the prediction.

    Args:
        spec: hyper-parameters.
        numbers: number of numeric features.
        cardinalities: number of ids of each categorical feature, id 0 (unknown) included.
    """

    def __init__(self, spec: ModelSpec, numbers: int, cardinalities: Sequence[int]) -> None:
        super().__init__()
        self.members, self.width = spec.members, spec.width
        self.encode = PiecewiseLinear(numbers, spec.bins)
        tables = [nn.Embedding(n, min(spec.embedding, (n + 1) // 2)) for n in cardinalities]
        for table in tables:
            nn.init.normal_(table.weight, std=0.1)
        self.embed = nn.ModuleList(tables)
        encoded = self.encode.width + sum(table.embedding_dim for table in tables)
        self.first = nn.Linear(encoded, spec.members * spec.width)
        shape = (spec.members, spec.width, spec.width)
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(shape) * (2 / spec.width) ** 0.5) for _ in range(spec.depth - 1)
        )
        self.biases = nn.ParameterList(
            nn.Parameter(torch.zeros(spec.members, 1, spec.width)) for _ in range(spec.depth - 1)
        )
        self.last_weight = nn.Parameter(torch.randn(spec.members, spec.width, 1) * spec.width**-0.5)
        self.last_bias = nn.Parameter(torch.zeros(spec.members))
        self.dropout = nn.Dropout(spec.dropout)

    @torch.no_grad()
    def fit(self, numbers: Tensor, target: Tensor) -> None:
        """Initialise from the training rows: the bins, and a bias that makes the first output the mean."""
        self.encode.fit(numbers)
        self.last_bias.fill_(target.mean())

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """[N, F] with NaN, [N, C] ids -> one raw output per member, [N, members]."""
        embedded = [table(categories[:, i]) for i, table in enumerate(self.embed)]
        hidden = torch.relu(self.first(torch.cat([self.encode(numbers), *embedded], dim=1)))
        hidden = self.dropout(hidden).view(-1, self.members, self.width).transpose(0, 1)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            hidden = self.dropout(torch.relu(torch.baddbmm(bias, hidden, weight)))
        return torch.bmm(hidden, self.last_weight).squeeze(2).T + self.last_bias


class Predictor(nn.Module):
    """What ships: the mean of the members, as probability or in the unit of the label.

    Args:
        network: gives raw outputs [N, members].
        task: of the use case.
        scale: factor on the raw output: its calibration, or the standard deviation of the training labels (regression).
        shift: added after that: 0, or the mean of the training labels (regression).
    """

    def __init__(self, network: nn.Module, task: str, scale: float, shift: float) -> None:
        super().__init__()
        self.network, self.task, self.scale, self.shift = network, task, scale, shift

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        """[N, F] with NaN, [N, C] ids -> probability or prediction, [N, 1]."""
        output = self.network(numbers, categories).mean(dim=1, keepdim=True) * self.scale + self.shift
        return torch.sigmoid(output) if self.task == "binary_classification" else output


def _quantiles(values: Tensor, at: Tensor) -> Tensor:
    """Linearly interpolated quantiles; torch.quantile refuses more than 16 million values."""
    ordered = values.sort().values
    position = at * (len(ordered) - 1)
    below = position.floor().long()
    above = (below + 1).clamp(max=len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
