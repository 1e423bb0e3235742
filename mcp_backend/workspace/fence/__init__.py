"""The fence: programs of the repository run where the kernel refuses writes to what is not theirs to write.

`around.py` is the door for tools. layout.py says what is protected, probe.py which kernel layer holds here, launch.py
runs in the child and shuts it in (mounts.py or bubblewrap.py, then landlock.py and seccomp.py), and scan.py and
revert.py look afterwards at what no layer can hold: names that did not exist before.
"""
