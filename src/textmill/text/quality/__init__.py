"""A quality classifier that is trained in seconds on a CPU: hashed n-grams of words, and a linear model over them."""

from textmill.text.quality.model import QualityModel
from textmill.text.quality.report import QualityReport
from textmill.text.quality.settings import QualitySettings
from textmill.text.quality.train import train_quality_model

__all__ = ["QualityModel", "QualityReport", "QualitySettings", "train_quality_model"]
