"""What a broker cannot do: the reason, and words that the failed check or the broker's log says
then. A check that works all the same counts as failed. doc/brokers.md has the details.
"""

ONLY_311 = ("speaks 3.1.1 and 5 only: it refuses the connection", "unacceptable protocol version")
NO_QOS2 = ("takes QoS 2 as QoS 1, and answers PUBACK", "sent a PUBACK that must not come here")
IN_MEMORY = ("keeps everything in the memory of its process", r"50 lines; \[\]")

CANNOT = {
    ("mosquitto", "a device is told that it may not publish"):
        ("acknowledges what it throws away", "Denied PUBLISH from "),
    ("mosquitto", "a device is told that it may not subscribe"):
        ("grants each subscription, and looks at the ACL when there is a message",
         "granted, and nothing sent"),
    ("mosquitto", "pushes kept over a crash of the broker"):
        ("writes to the disk each autosave_interval, and at its end", r"50 lines; \[\]"),

    ("rabbitmq", "in the clear, MQTT 3.1.1, QoS 2"): NO_QOS2,
    ("rabbitmq", "in the clear, MQTT 3.1, QoS 2"): NO_QOS2,
    ("rabbitmq", "push and collect, QoS 2 asked for"): NO_QOS2,
    ("rabbitmq", "session, STS/2, QoS 2"): NO_QOS2,
    ("rabbitmq", "a device is told that it may not subscribe"):
        ("closes the connection: exit status 69, not 77", "access_refused: access to topic"),
    ("rabbitmq", "retain, found through a wildcard"):
        ("looks retained messages up by their whole topic", r"finds: \[\], not \['last'\]"),
    ("rabbitmq", "collectors that share a subscription"):
        ("takes $share for a word of the topic", r"20 pushes, but \[0, 0\]"),

    ("ejabberd", "in the clear, MQTT 3.1, QoS 0"): ONLY_311,
    ("ejabberd", "in the clear, MQTT 3.1, QoS 1"): ONLY_311,
    ("ejabberd", "in the clear, MQTT 3.1, QoS 2"): ONLY_311,
    ("ejabberd", "push and collect, MQTT 3.1"): ONLY_311,
    ("ejabberd", "a device is told that it may not publish"):
        ("acknowledges what it throws away", "acknowledged, and thrown away"),
    ("ejabberd", "pushes kept over a restart of the broker"): IN_MEMORY,
    ("ejabberd", "pushes kept over a crash of the broker"): IN_MEMORY,
    ("ejabberd", "collectors that share a subscription"):
        ("closes the connection at $share", "the broker closed the connection"),

    ("aedes", "retain, over a restart of the broker"):
        (IN_MEMORY[0], r"finds: \[\], not \['last'\]"),
    ("aedes", "pushes kept over a restart of the broker"): IN_MEMORY,
    ("aedes", "pushes kept over a crash of the broker"): IN_MEMORY,
    ("aedes", "not acknowledged: delivered again, with DUP"):
        ("delivers it again, but without DUP", "DUP, the second time: 0, not 1"),
    ("aedes", "collectors that share a subscription"):
        ("takes $share for a word of the topic", r"20 pushes, but \[0, 0\]"),
}
