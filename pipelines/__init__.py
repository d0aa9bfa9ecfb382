"""The DAGs: each module holds the pipeline of its name. What several of them share is in ``nested``."""

import pkgutil

# By the name people type; the KFP name has dashes.
PIPELINES = tuple(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)
