"""The settings that the README shows, as files that are run."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"
WORKER, HOOKS, BUDGET = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
