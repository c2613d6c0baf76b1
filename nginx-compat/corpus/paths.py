"""What paths and methods may be."""

from corpus import ACCEPT, NO_BODY, REPOSITORY, case
from wire import HOST

# What the path may be.
case("tag that is none", "GET", f"{REPOSITORY}/manifests/-bad", ACCEPT)
case("digest that is none", "GET", f"{REPOSITORY}/manifests/sha256:xyz", ACCEPT)
case("blob whose digest is none", "GET", f"{REPOSITORY}/blobs/xyz")
case("name that is none", "GET", "/v2/Library/App/manifests/v1", ACCEPT)
case("tags, n is 0", "GET", f"{REPOSITORY}/tags/list?n=0")
case("tags, n is negative", "GET", f"{REPOSITORY}/tags/list?n=-1")
case("tags, n is no number", "GET", f"{REPOSITORY}/tags/list?n=abc")
case("catalogue, n is no number", "GET", "/v2/_catalog?n=abc")
case("API version 1", "GET", "/v1/_ping")
case("nothing there", "GET", "/nothing")
case("two slashes", "GET", f"/{REPOSITORY}/tags/list")
case("two slashes within", "GET", "/v2/library//parity/tags/list")
case("a step up", "GET", "/v2/library/x/../parity/tags/list")
case("an escaped step up", "GET", "/v2/library/x/%2e%2e/parity/tags/list")
case("steps above the root", "GET", "/v2/../../etc/passwd")
case("an escaped slash", "GET", "/v2/library%2Fparity/tags/list")
case("an escaped letter", "GET", "/v2/library/%70arity/tags/list")
case("an escaped NUL", "GET", "/v2/library/parity%00/tags/list")
case("an escape that is none", "GET", "/v2/library/parity%zz/tags/list")
case("a slash at the end", "GET", f"{REPOSITORY}/tags/list/")
case("a fragment", "GET", f"{REPOSITORY}/tags/list#x")
case("an absolute target", "GET", f"https://{HOST.decode()}{REPOSITORY}/tags/list")
case("a target of 9 KB", "GET", "/v2/" + "a" * 9000)
case("a target with a space", "GET", "/v2/ x")
case("OPTIONS *", "OPTIONS", "*")

# What the method may be.
case("OPTIONS", "OPTIONS", "/v2/")
case("PATCH of a manifest", "PATCH", f"{REPOSITORY}/manifests/v1", NO_BODY)
case("POST of a ping", "POST", "/v2/", NO_BODY)
case("TRACE", "TRACE", "/v2/")
case("CONNECT", "CONNECT", "localhost:443")
case("a method nobody knows", "BREW", "/v2/")
case("a method in small letters", "get", "/v2/")

