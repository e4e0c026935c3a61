"""Pushes the folder of a model to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from ovss.io.excerpts import excerpt, one_line
from ovss.io.weight_files import file_sha256

from .assets import check_assets
from .download import MODEL_FILES, is_repository
from .places import file_in
from .records import CONFIG_FILE, WEIGHTS_FILE, SavedModelError, read_model_description
from .trust import check_weights_entry

__all__ = ["check_model_files", "push_model"]


def check_model_files(folder: Path) -> None:
    """Checks that a folder holds every file of its model, unchanged; nothing is imported or built.

    Raises:
        SavedModelError: a file is missing or has other content.
    """
    path = file_in(folder, CONFIG_FILE) if folder.is_dir() else folder / CONFIG_FILE
    description = read_model_description(path)
    if file_sha256(file_in(folder, WEIGHTS_FILE)) != check_weights_entry(description, folder):
        raise SavedModelError(
            f"{folder / WEIGHTS_FILE} has another SHA-256 than {CONFIG_FILE} says. Save the model "
            f"again"
        )
    check_assets(folder, description.assets)


def push_model(
    folder: str | Path,
    repository: str,
    *,
    private: bool = False,
    revision: str | None = None,
    token: str | bool | None = None,
    message: str = "Upload a model of ovss",
) -> str:
    """Pushes a model to a repository of the hub, which is created if it does not exist.

    Args:
        folder: folder of the model. Only the files of a model are pushed.
        repository: organisation or user, and name.
        private: True to create a private repository; one that exists is not changed.
        revision: branch to commit to; None: the main branch.
        token: access token; None or True for the stored one.
        message: message of the commit.

    Returns:
        Address of the commit.

    Raises:
        SavedModelError: the folder is damaged, the name is not one of a repository, or the hub
            refuses or cannot be reached.
    """
    folder = Path(folder)
    if not is_repository(repository):
        raise SavedModelError(
            f"Expected a repository such as organisation/name, got {excerpt(repository)}. Correct "
            f"it"
        )
    check_model_files(folder)
    from huggingface_hub import HfApi, constants

    api = HfApi(token=token, library_name="ovss")
    try:
        api.create_repo(repository, repo_type="model", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            allow_patterns=list(MODEL_FILES),
            commit_message=message,
        )
    except Exception as error:  # the hub client and the network raise many kinds
        reason = one_line(str(error))[:300].rstrip(".") or type(error).__name__
        raise SavedModelError(
            f"{folder} could not be pushed to {repository} on {constants.ENDPOINT} "
            f"({type(error).__name__}: {reason}). Check the name, your token (`hf auth login`) and "
            f"the network"
        ) from error
    return str(commit.commit_url)
