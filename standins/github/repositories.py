"""What GitHub says about a repository, a user, the App and a commit, in payloads and in the API."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime

from standins.github.accounts import APP_ID, CLIENT_ID, OWNER, PERMISSIONS
from standins.github.answers import Json
from standins.github.git import Commit, Person
from standins.github.hub import Hosted, Hub, utc

#: Links of a repository, below its API URL. Most are URI templates.
_LINKS = {
    "forks_url": "/forks",
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "teams_url": "/teams",
    "hooks_url": "/hooks",
    "issue_events_url": "/issues/events{/number}",
    "events_url": "/events",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "tags_url": "/tags",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "languages_url": "/languages",
    "stargazers_url": "/stargazers",
    "contributors_url": "/contributors",
    "subscribers_url": "/subscribers",
    "subscription_url": "/subscription",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "merges_url": "/merges",
    "archive_url": "/{archive_format}{/ref}",
    "downloads_url": "/downloads",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
    "deployments_url": "/deployments",
}
APP_SLUG = "mergekey"
#: What GitHub says about the signature of a commit that has none.
UNSIGNED = {"verified": False, "reason": "unsigned", "signature": None, "payload": None, "verified_at": None}
_NUMBERS = (
    "stargazers_count",
    "watchers_count",
    "forks_count",
    "open_issues_count",
    "forks",
    "open_issues",
    "watchers",
    "size",
)
_NOTHING = ("description", "homepage", "language", "mirror_url", "license")
_FALSE = (
    "fork",
    "archived",
    "disabled",
    "is_template",
    "web_commit_signoff_required",
    "has_pages",
    "has_discussions",
)
_TRUE = ("private", "has_issues", "has_projects", "has_downloads", "has_wiki", "allow_forking")
_USER_LINKS = {
    "followers_url": "/followers",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "subscriptions_url": "/subscriptions",
    "organizations_url": "/orgs",
    "repos_url": "/repos",
    "events_url": "/events{/privacy}",
    "received_events_url": "/received_events",
}


def user(address: str, login: str) -> Json:
    """A simple user. Its id depends on the login only."""
    number = zlib.crc32(login.encode())
    url = f"{address}/users/{login}"
    return {
        "login": login,
        "id": number,
        "node_id": f"U_{number}",
        "avatar_url": f"{address}/avatars/{number}",
        "gravatar_id": "",
        "url": url,
        "html_url": f"{address}/{login}",
        **{name: url + path for name, path in _USER_LINKS.items()},
        "type": "User",
        "site_admin": False,
    }


def repository(address: str, hosted: Hosted) -> Json:
    """A repository as the API shows it and as payloads carry it."""
    url, html = f"{address}/repos/{hosted.full_name}", f"{address}/{hosted.full_name}"
    created = hosted.options["created_at"]
    return {
        "id": hosted.id,
        "node_id": f"R_{hosted.id}",
        "name": hosted.name,
        "full_name": hosted.full_name,
        "owner": user(address, hosted.owner),
        "html_url": html,
        "url": url,
        **{name: url + path for name, path in _LINKS.items()},
        "git_url": f"git://{html.partition('://')[2]}.git",
        "ssh_url": f"git@localhost:{hosted.full_name}.git",
        "clone_url": f"{html}.git",
        "svn_url": html,
        "created_at": created,
        "updated_at": created,
        "pushed_at": created,
        "default_branch": hosted.options["default_branch"],
        "visibility": "private",
        "topics": [],
        "custom_properties": {},
        **dict.fromkeys(_NUMBERS, 0),
        **dict.fromkeys(_NOTHING),
        **dict.fromkeys(_FALSE, False),
        **dict.fromkeys(_TRUE, True),
    }


def pushed_commit(address: str, hosted: Hosted, commit: Commit) -> Json:
    """A commit as a push payload carries it."""
    return {
        "id": commit.sha,
        "tree_id": commit.tree,
        "distinct": True,
        "message": commit.message,
        "timestamp": commit.committer.date,
        "url": f"{address}/{hosted.full_name}/commit/{commit.sha}",
        "author": _signature(commit.author),
        "committer": _signature(commit.committer),
        "added": list(commit.added),
        "removed": list(commit.removed),
        "modified": list(commit.modified),
    }


def app(hub: Hub) -> Json:
    """The GitHub App."""
    created = utc(hub.accounts.app["created"])
    return {
        "id": APP_ID,
        "slug": APP_SLUG,
        "node_id": f"A_{APP_ID}",
        "client_id": CLIENT_ID,
        "owner": user(hub.address, OWNER),
        "name": "Mergekey",
        "description": "Merge a YAML file, fetch a key.",
        "external_url": "https://example.com/mergekey",
        "html_url": f"{hub.address}/apps/{APP_SLUG}",
        "created_at": created,
        "updated_at": created,
        "permissions": PERMISSIONS,
        "events": ["push"],
    }


def commit_in_full(address: str, hosted: Hosted, commit: Commit) -> Json:
    """A commit as the API shows it. The accounts of its people are not known here."""
    url = f"{address}/repos/{hosted.full_name}"
    return {
        "sha": commit.sha,
        "node_id": f"C_{commit.sha}",
        "commit": {
            "author": _signature(commit.author, in_utc=True),
            "committer": _signature(commit.committer, in_utc=True),
            "message": commit.message,
            "tree": {"sha": commit.tree, "url": f"{url}/git/trees/{commit.tree}"},
            "url": f"{url}/git/commits/{commit.sha}",
            "comment_count": 0,
            "verification": UNSIGNED,
        },
        "url": f"{url}/commits/{commit.sha}",
        "html_url": f"{address}/{hosted.full_name}/commit/{commit.sha}",
        "comments_url": f"{url}/commits/{commit.sha}/comments",
        "author": None,
        "committer": None,
        "parents": [_parent(f"{url}/commits", address, hosted, sha) for sha in commit.parents],
    }


def git_commit(address: str, hosted: Hosted, commit: Commit) -> Json:
    """A commit as the Git database API shows it: the object, and nothing around it."""
    url = f"{address}/repos/{hosted.full_name}/git"
    return {
        "sha": commit.sha,
        "node_id": f"C_{commit.sha}",
        "url": f"{url}/commits/{commit.sha}",
        "html_url": f"{address}/{hosted.full_name}/commit/{commit.sha}",
        "author": _signature(commit.author, in_utc=True),
        "committer": _signature(commit.committer, in_utc=True),
        "tree": {"sha": commit.tree, "url": f"{url}/trees/{commit.tree}"},
        "message": commit.message,
        "parents": [_parent(f"{url}/commits", address, hosted, sha) for sha in commit.parents],
        "verification": UNSIGNED,
    }


def _parent(url: str, address: str, hosted: Hosted, sha: str) -> Json:
    return {"sha": sha, "url": f"{url}/{sha}", "html_url": f"{address}/{hosted.full_name}/commit/{sha}"}


def _signature(person: Person, *, in_utc: bool = False) -> Json:
    date = datetime.fromisoformat(person.date)
    shown = date.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if in_utc else date.isoformat()
    return {"name": person.name, "email": person.email, "date": shown}
