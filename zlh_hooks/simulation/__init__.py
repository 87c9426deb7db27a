"""A cluster in memory, on which the real engine works in simulated time: for drills, and what tests build upon.

    clock = SimulatedClock(start)
    world = SimulatedCluster(clock)          # implements every port by which Proxmox and guests are reached
    world.add_node("n1")
    world.add_storage("local", "n1")
    world.add_template("game-base", "1", "n1", 8001, channel="stable")
    world.add_guest(5001, "n1", version="1")

The world goes on only as the clock passes, and only when it is called. Its rules are those observed on Proxmox VE 9
(pve-container 6.1); ``tests/contracts`` holds them against the real adapter. Nothing here reaches out of the process.
"""
