"""What a gateway's author needs to test its adapter: imported by tests only, never by the service.

Begin with `app.testing.harness`; docs/gateways.md tells the way.
"""

import pytest

pytest.register_assert_rewrite("app.testing.cases")
