"""All scenarios by name: what is sent, and what goes wrong meanwhile."""
import scenes_files     # noqa: F401 (they register what is in them)
import scenes_host      # noqa: F401
import scenes_kill      # noqa: F401
import scenes_way       # noqa: F401
from scenario import SCENARIOS      # noqa: F401
