"""Check of the network: whether the hosts of published weights and data sets respond."""

import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from sota_exp.preview.doctor.finding import Finding, note, ok

#: What is downloaded from where.
HOSTS = {
    "torchvision's weights": "https://download.pytorch.org",
    "timm's weights and Hugging Face's data sets": "https://huggingface.co",
}

#: Timeout in seconds.
SECONDS = 4.0

MEND = "work offline: data=animals_on_photos, model/weights=checkpoint; or copy the files into the caches above"


def hosts() -> list[Finding]:
    """One finding: all hosts respond, or which do not. Only downloads need them."""
    with ThreadPoolExecutor() as pool:
        answered = list(pool.map(answers, HOSTS.values()))
    silent = [f"{what} ({url})" for (what, url), responds in zip(HOSTS.items(), answered, strict=True) if not responds]
    if silent:
        return [note("network", f"out of reach: {'; '.join(silent)}", MEND)]
    return [ok("network", f"{' and '.join(HOSTS)} can be downloaded")]


def answers(url: str) -> bool:
    """Whether the host responds, with an error or without."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, ValueError):
        return False
    return True
