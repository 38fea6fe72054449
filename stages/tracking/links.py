"""Where a result is on a tracking server, for those who only have its page."""

import logging
from urllib.parse import quote

from stages.tracking import store
from stages.tracking.open_run import LINK_QUERY

logger = logging.getLogger(__name__)


def run_link(dataset: str, fingerprint: str) -> str:
    """Return the address of the list with the run of that fingerprint, logged or yet to come.

    Empty where tracking is off, the store is no server, has no such experiment or does not answer.
    """
    if not store.tracking_is_on() or not store.tracking_uri().startswith("http"):
        return ""
    try:
        experiment = store.connect().get_experiment_by_name(dataset)
    except Exception as error:  # whatever it is, the page goes without
        logger.warning("no link to MLflow: %s", store.without_credentials(error))
        return ""
    if experiment is None:
        return ""
    wanted = quote(f'tags.fingerprint = "{fingerprint}"', safe="")
    server = store.shown_uri().rstrip("/")
    runs = f"{server}/#/experiments/{experiment.experiment_id}/runs"
    return f"{runs}?searchFilter={wanted}&{LINK_QUERY}"
