"""Shell lines by the kind of program in them, for test_hook_lines: attacks refused, ordinary work not."""

ATTACKS: tuple[str, ...] = (
    # A program that another one starts, of which nothing is known.
    "valgrind rm frontend/src/App.tsx", "perf stat touch frontend/new.ts", "choom -n 0 -- cp setup.py frontend/x.ts",
    "ssh-agent rm frontend/src/App.tsx", "bundle exec touch frontend/new.ts", "setarch -R rm -r frontend",
    "sudo -D frontend rm src/App.tsx", "csh -c 'echo x > frontend/a.ts'",
    # Code and lines in words.
    "gdb -ex '!touch frontend/a.ts' -ex quit", "julia -e 'write(\"frontend/a.ts\", \"x\")'",
    "octave --eval 'system(\"rm frontend/src/App.tsx\")'", "php -r 'file_put_contents(\"frontend/a.ts\", \"x\");'",
    "pwsh -c '\"x\" | Out-File frontend/a.ts'", "sqlite3 /dev/null '.shell touch frontend/a.ts'",
    "psql -c '\\! touch frontend/a.ts'", "vim -es -c 'w! frontend/a.ts' -c q setup.py",
    "split --filter='tee frontend/a.ts' setup.py", "sed -n '1e touch frontend/a.ts' setup.py",
    "rsync -e 'touch frontend/a.ts' x: y", "ssh -o ProxyCommand='touch frontend/a.ts' host",
    "make --eval='$(shell touch frontend/a.ts)' .", "printf 'all:\\n\\ttouch frontend/a.ts\\n' > Makefile && make",
    "echo '{\"scripts\": {\"x\": \"touch frontend/a.ts\"}}' > package.json && npm run x",
    "PAGER='touch frontend/a.ts' git -p help", "LESSOPEN='rm frontend/src/App.tsx # %s' less setup.py",
    # Options that say where a program writes.
    "openssl enc -in setup.py -out frontend/a.ts", "mypy . --junit-xml frontend/report.xml",
    "curl -D frontend/headers https://x.test", "curl --cookie-jar frontend/jar https://x.test",
    "tsc x.ts --outFile frontend/a.js", "strace -o frontend/trace true", "script -q -c true frontend/log",
    "xxd -r dump frontend/a.ts", "find . -fprint0 frontend/list", "duckdb -c \"export database 'frontend/d'\"",
    # In place.
    "yq -i '.info.title = 1' api/openapi.yaml", "yq --inplace '.x = 1' api/openapi.yaml",
    "dos2unix frontend/src/App.tsx", "buf format -w api/openapi.yaml",
    # Archives.
    "7z x a.7z -ofrontend", "7za a frontend/a.7z setup.py", "zip frontend/a.zip setup.py",
    "zip -m a.zip frontend/src/App.tsx", "tar --create -f frontend/a.tar setup.py", "gzip frontend/src/App.tsx",
    # Read by the shell a second time.
    "echo $((`rm -rf frontend` + 1))", "cat <<E\n`ls` and `rm frontend/src/App.tsx`\nE", "[[ x < $(rm -r frontend) ]]",
    "echo ${x:-$(echo $(rm -r frontend))}",
    # git.
    "git checkout -qf main", "git switch -qf main", "git $(echo rm) frontend/src/App.tsx",
    "git ls-files frontend | xargs git rm", "git config -f api/openapi.yaml a.b c", "git hash-object -w setup.py",
    "git reset HEAD -- frontend && git checkout -- frontend", "git clean -fdx", "git prune --expire now",
    # What `echo` hands to a program is its code.
    "echo 'syscmd(touch frontend/a.ts)' | m4", "echo 'rm frontend/src/App.tsx' | bash",
    "printf -- '--- a/frontend/src/App.tsx\\n+++ b/frontend/src/App.tsx\\n@@ -1 +1 @@\\n-x\\n+y\\n' | git apply",
    # Containers, other machines, the network.
    "docker run --rm -v $PWD/frontend:/x alpine sh -c 'echo x > /x/src/App.tsx'",
    "docker run --mount type=bind,src=./frontend,dst=/f busybox rm -rf /f/src",
    "docker run -v \"$(pwd)\":/w -w /w alpine touch frontend/src/App.tsx",
    "docker cp web:/app/App.tsx frontend/src/App.tsx",
    "docker compose cp web:/app/src frontend/", "kubectl cp pod:/x frontend/src/App.tsx",
    "aws s3 sync s3://b frontend/public", "gh release download -D frontend", "sftp host:x frontend/src/App.tsx",
    "ssh localhost 'rm frontend/src/App.tsx'", "socat -u FILE:setup.py OPEN:frontend/a.ts,creat",
    "socat tcp-listen:99 system:'rm frontend/src/App.tsx'", "tcpdump -i any -c 1 -w frontend/a.pcap",
    # Programs by way of others.
    "poetry run python -c \"open('frontend/a.ts', 'w')\"", "direnv exec . rm frontend/src/App.tsx",
    "op run -- cp setup.py frontend/a.ts", "fd . frontend -x rm {}", "git difftool -x 'rm frontend/src/App.tsx'",
    "alias w='tee frontend/a.ts'; echo x | w", "for d in frontend; do rm -rf \"$d/src\"; done",
    "pwsh -c 'Remove-Item frontend/src/App.tsx'", "bun -e \"Bun.write('frontend/a.ts', 'x')\"",
    "ruby -i -pe '$_.upcase!' frontend/src/App.tsx", "cpio -i -D frontend < x.cpio", "magick a.png frontend/a.png",
    # Another repository's settings may start programs.
    "git init /var/tmp/o && git --git-dir=/var/tmp/o/.git status", "git --work-tree=frontend checkout -f",
)  # fmt: skip
BENIGN: tuple[str, ...] = (
    # Reading what is others', also with programs that could write.
    "zip -r /tmp/ui.zip frontend", "tar czf /tmp/ui.tgz frontend", "gzip -c api/openapi.yaml | wc -c",
    "unzip -Z a.zip", "unzip -c a.zip", "7z l a.7z", "7z t a.7z", "tar xO -f a.tar x", "yq .info api/openapi.yaml",
    "schemathesis run api/openapi.yaml", "oasdiff breaking api/openapi.yaml /tmp/x.yaml",
    "openapi-generator generate -i api/openapi.yaml -o build/client", "redocly bundle api/openapi.yaml -o /tmp/x.yaml",
    "grep -o frontend/src/App.tsx setup.py", "git hash-object api/openapi.yaml", "git gc --quiet",
    "git prune --dry-run", "csplit -f /tmp/part setup.py /regex/", "rmdir frontend",
    # Nothing of others has changed, so nothing of theirs is taken back or deleted.
    "git checkout .", "git restore .", "git checkout -- frontend", "git clean -fd", "git checkout -bfeature",
    # Text of a here-document, and tests that are not read to their end.
    "cat > NOTES.md <<E\nSee \\`frontend/src/App.tsx\\` and \\`api/openapi.yaml\\`.\nE",
    "cat > NOTES.md <<E\nMade `date` by `whoami`; see frontend/src/App.tsx\nE",
    "[[ x == @($(echo a; echo b)) ]] && true",
    # Programs that work elsewhere.
    "ssh host 'rm -rf frontend/dist'", "docker-compose exec web rm -rf /app/tmp", "hadoop fs -rm /data/x",
    # Programs that only show, names of environments, memory.
    "git -c core.pager=cat log", "git -c core.editor=true rebase --continue", "ENV=test pytest -q",
    "NODE_OPTIONS=--max-old-space-size=4096 npx tsc", "CFLAGS='-O2 -g' make", "find . -exec echo -delete \\;",
    "gh pr create --title x --body 'please rm frontend/src/App.tsx'", "at -c 3",
    # Looking into a repository by its folder.
    "git --git-dir=.git status", "git --git-dir=.git --work-tree=. diff --stat", "git --git-dir=/nowhere/.git log -1",
    "git --git-dir .git branch -a && git --git-dir=.git remote -v",
    # What is said is not done; what is read from a container or sent away changes nothing here.
    "echo 'rm -rf frontend' | cat", "echo 'see frontend/src/App.tsx' | tee -a orders/NOTES",
    "docker run --rm -v $PWD/api:/specs:ro redocly/cli lint /specs/openapi.yaml",
    "docker run --rm -v \"$PWD\":/src -w /src golang:1.22 go test ./...",
    "docker cp web:/var/log/app.log /var/tmp/app.log",
    "docker compose exec -T postgres psql -c 'select 1'", "kubectl exec deploy/orders -- cat /app/config.yml",
    "aws s3 cp frontend/package.json s3://b/x", "aws s3 cp s3://b/dump.sql . --recursive",
    "gh run download 1 -D /var/tmp/artifacts", "ssh localhost uptime", "socat -u FILE:frontend/package.json STDOUT",
    "tcpdump -i lo port 5432 -c 20 -nn", "fd App frontend -x wc -l {}", "poetry run pytest -q", "op run -- pytest -q",
    "alias ll='ls -la'; ll frontend", "for d in orders tests; do rm -rf \"$d/__pycache__\"; done",
    "find . -type d -name __pycache__ -prune -exec rm -rf {} +", "uv run ruff check . --fix",
    "protoc --go_out=. --go-grpc_out=. proto/orders.proto", "magick identify frontend/a.png",
    "pwsh -c 'Get-Content frontend/src/App.tsx'",
)  # fmt: skip
