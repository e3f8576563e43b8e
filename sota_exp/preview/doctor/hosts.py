"""Check of the network: whether the hosts of published weights and data sets respond."""

import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from sota_exp.preview.doctor.finding import CheckResult, build_note, build_ok

#: What is downloaded from where.
DOWNLOAD_HOSTS = {
    "torchvision's weights": "https://download.pytorch.org",
    "timm's weights and Hugging Face's data sets": "https://huggingface.co",
}

#: Timeout in seconds.
HOST_TIMEOUT_SECONDS = 4.0

FIX_OFFLINE = (
    "work offline: data=animals_on_photos, model/weights=scratch or checkpoint; or copy the files into the caches above"
)


def check_hosts() -> list[CheckResult]:
    """One finding: all hosts respond, or which do not. Only downloads need them."""
    with ThreadPoolExecutor() as pool:
        answers = dict(zip(DOWNLOAD_HOSTS.items(), pool.map(is_host_reachable, DOWNLOAD_HOSTS.values()), strict=True))
    silent = [f"{what} ({url})" for (what, url), responds in answers.items() if not responds]
    if silent:
        return [build_note(f"out of reach: {'; '.join(silent)}", FIX_OFFLINE)]
    return [build_ok(f"{' and '.join(DOWNLOAD_HOSTS)} can be downloaded")]


def is_host_reachable(url: str) -> bool:
    """Whether the host responds, with an error or without."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=HOST_TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError as error:
        error.close()
    except (OSError, ValueError):
        return False
    return True
