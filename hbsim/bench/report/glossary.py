"""The terms of a report, each in one sentence: for the page, and for the glossary of the documentation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["GLOSSARY"]

GLOSSARY: Final[Mapping[str, str]] = {
    "anytime curve": "The mean normalised regret of a variant's incumbents over simulated time.",
    "area under the curve": (
        "The normalised regret averaged over the time until the budget: what a user has who may stop at any "
        "moment."
    ),
    "best": "The variant with the lowest mean score on these studies; that alone does not make it better.",
    "busy": "The share of the workers' time that jobs occupied.",
    "choice": (
        "The part of the regret that comes from what the incumbent was picked by: the best trial that "
        "reached R against the incumbent, which may be better."
    ),
    "completed": "The number of trials that were trained to R.",
    "critical difference": (
        "By Nemenyi's test, variants whose mean ranks over tasks are closer than that are not told apart."
    ),
    "decisions": (
        "The part of the regret that comes from early decisions: the best trial that was started against the "
        "best one that was neither stopped nor left paused, both at R."
    ),
    "equal resource": (
        "All variants are scored when their trials have trained the same amount: the median of what studies "
        "had trained by the budget."
    ),
    "equal time": "All variants are scored at the same simulated time, the budget.",
    "held-out": "A metric of data that no decision of the study has seen, as a test set.",
    "incumbent": "The trial with the best value that was reported so far, at any level.",
    "interquartile mean": (
        "The mean of the middle half of all studies' scores, which a few very good or bad ones do not move."
    ),
    "interval": (
        "Where the mean lies with a confidence of 95 %; differences from the best have one for all at once."
    ),
    "mean rank": "A variant's rank on each group of tasks, 1 for the best, averaged over the groups.",
    "median configuration": "The middle one, by its value at R, of configurations that are drawn at random.",
    "normalised regret": (
        "The regret over that of the median configuration: 0 is the best there is, 1 no better than a "
        "configuration drawn at random."
    ),
    "not told apart": (
        "The difference from the best is no larger than chance may make it: there may be none, or one "
        "with the other sign."
    ),
    "on another draw": (
        "What is concluded of this task with other configurations in its table, as well as other seeds."
    ),
    "on these curves": (
        "What is concluded of these very configurations and their learning curves, with other seeds."
    ),
    "p": (
        "How probable so large a difference from the best would be if there was none, adjusted for the "
        "number of variants."
    ),
    "pairwise comparison": "Two variants held against each other on every group of tasks.",
    "picked": "The value that made a trial the incumbent: its own report, often below R, and so too good.",
    "probability of being best": (
        "How probable it is, by the means and their standard errors, that a variant has the lowest mean."
    ),
    "probability of improvement": (
        "How probable it is that a study of one variant is better than one of another on the same task."
    ),
    "R": "The highest level of the resource, to which a trial is trained if nothing stops it.",
    "rank": "A variant's place; variants that are not told apart share one.",
    "regret": "How much worse the incumbent is at R than the best of the space, in the metric's unit.",
    "sampling": (
        "The part of the regret that comes from which configurations were drawn: the best of the space "
        "against the best trial that was started, both at R."
    ),
    "seed": "Decides the order of configurations and the luck of a study; variants are paired by seed.",
    "tied": "Two variants with the same score.",
    "time to target": "The simulated time until the normalised regret is at most the target.",
    "unfinished": (
        "The part of the regret that comes from trials that were let through and did not reach R in time."
    ),
    "worse": (
        "The difference from the best is larger than chance makes it; in at most 5 % of tables is any "
        "variant called so that is as good as the best."
    ),
}
