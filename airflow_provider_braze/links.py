"""A link from a task to Braze's dashboard.

Braze does not document how API identifiers map to addresses of its dashboard, and they differ from instance to
instance. So the address is the user's: the connection's extra ``dashboard_url``, such as
``https://dashboard-03.braze.com/engagement/campaigns/{campaign_id}``. ``{campaign_id}``, ``{canvas_id}`` and
``{workspace}`` are filled in from the task; an address without them is taken as it is.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator, TaskInstanceKey

log = logging.getLogger(__name__)


class BrazeDashboardLink(BaseOperatorLink):
    """Leads to the campaign or Canvas in Braze's dashboard, for operators that have a ``hook``.

    The worker works it out when the task ends, in whatever state, and hands it to Airflow through XCom. There is none
    where the connection has no ``dashboard_url``, or where the task has no value for one of its placeholders.
    """

    name = "Braze dashboard"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:  # noqa: ARG002
        """Give the address, empty where there is none; a link is no reason to fail."""
        try:
            return _address(operator)
        except Exception as error:
            # The connection may be what the task failed for, and its error is in the log already.
            log.debug("No link to Braze's dashboard (%s).", type(error).__name__)
            return ""


def _address(operator: Any) -> str:
    settings = operator.hook.settings
    url: str = settings.dashboard_url or ""
    values = {
        "campaign_id": getattr(operator, "campaign_id", None),
        "canvas_id": getattr(operator, "canvas_id", None),
        "workspace": getattr(operator, "workspace", None) or settings.workspace,
    }
    for name in set(re.findall(r"{(\w+)}", url)):
        value = values[name]
        # Where the task failed before its templates were rendered, the template is no value.
        if not isinstance(value, str) or not value.strip() or "{{" in value:
            return ""
        url = url.replace(f"{{{name}}}", quote(value.strip(), safe=""))
    return url
