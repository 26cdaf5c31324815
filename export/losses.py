"""How far a student is from its teachers: in classes, in embeddings, in what lies near what."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from export.measuring import Targets


def distances(
    logits: Tensor,
    embeddings: Sequence[Tensor],
    targets: Targets,
    centres: Sequence[Tensor],
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Return how far a student is from its teachers.

    The KL divergence from their classes to its own, both softened by the temperature, and the mean
    cosine distance of its embeddings to theirs, less their centres.
    """
    kl = F.kl_div(
        (logits.float() / temperature).log_softmax(1),
        (targets.logits.float() / temperature).log_softmax(1),
        reduction="batchmean",
        log_target=True,
    )
    each = [
        1 - F.cosine_similarity(ours.float(), theirs.float() - centre).mean()
        for ours, theirs, centre in zip(embeddings, targets.embeddings, centres, strict=True)
    ]
    return kl, torch.stack(each).mean()


def relation(features: Tensor, targets: Targets, centres: Sequence[Tensor]) -> Tensor:
    """Return how far the cosines between pictures are from those between teachers' embeddings.

    The mean square over all pairs of a batch, of features `(n, c)` centred on their mean: a search
    goes by such cosines ("Similarity-Preserving Knowledge Distillation", Tung and Mori 2019).
    """
    theirs = [
        F.normalize(each.float() - centre, dim=1)
        for each, centre in zip(targets.embeddings, centres, strict=True)
    ]
    wanted = torch.stack([each @ each.T for each in theirs]).mean(0)
    ours = F.normalize(features - features.mean(0), dim=1)
    others = ~torch.eye(len(ours), dtype=torch.bool, device=ours.device)
    return F.mse_loss((ours @ ours.T)[others], wanted[others])
