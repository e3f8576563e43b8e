"""Whether the hosts answer that published weights and data sets are fetched from."""

import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from sota_exp.preview.doctor.finding import Finding, note, ok

#: What is fetched from where.
HOSTS = {
    "torchvision's weights": "https://download.pytorch.org",
    "timm's weights and Hugging Face's data sets": "https://huggingface.co",
}

#: Seconds that a host is given.
SECONDS = 4.0

MEND = (
    "work with what is there: data=animals_on_photos, model/weights=checkpoint; or copy the files into the caches above"
)


def hosts() -> list[Finding]:
    """One finding: all answer, or which do not. Nothing needs them but what is fetched from them."""
    with ThreadPoolExecutor() as pool:
        answered = list(pool.map(answers, HOSTS.values()))
    silent = [f"{what} ({url})" for (what, url), there in zip(HOSTS.items(), answered, strict=True) if not there]
    if silent:
        return [note("network", f"out of reach: {'; '.join(silent)}", MEND)]
    return [ok("network", f"{' and '.join(HOSTS)} can be fetched")]


def answers(url: str) -> bool:
    """Whether the host says anything at all."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, ValueError):
        return False
    return True
