"""A real Kafka broker (KRaft, one node) from Maven Central's jars, and what was sent to its topics."""

import asyncio
import fcntl
import functools
import json
import signal
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AclBinding, AdminClient, NewTopic

from support.waiting import eventually

TOPIC = "llm-task-log"
POM = Path(__file__).parent / "kafka" / "pom.xml"
USER, PASSWORD = "agent", "s3cret-of-the-agent"
_JAVA = ("java", "-Xmx384m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listeners=PLAIN://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{sasl}{tls_listener}
advertised.listeners=PLAIN://127.0.0.1:{plain},SASL://127.0.0.1:{sasl}{tls_listener}
listener.security.protocol.map=PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
 user_{user}="{password}";
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
num.network.threads=1
num.io.threads=2
num.recovery.threads.per.data.dir=1
log.cleaner.enable=false
group.initial.rebalance.delay.ms=0
{more}
"""


@functools.cache
def classpath() -> str:
    """Return the jars of the broker; Maven fetches them at the first call ever."""
    target = POM.parent / "target"
    target.mkdir(exist_ok=True)
    found = target / "classpath"
    with (target / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.exists() or found.stat().st_mtime < POM.stat().st_mtime or not _exist(found.read_text()):
            command = ["mvn", "-q", "-B", "dependency:build-classpath", f"-Dmdep.outputFile={found}"]
            subprocess.run(command, cwd=POM.parent, check=True)
    return found.read_text()


def _exist(jars: str) -> bool:
    return all(Path(jar).exists() for jar in jars.split(":"))


class Sent(NamedTuple):
    """A message of a topic."""

    key: str
    identity: str
    fields: dict[str, Any]
    time_ms: int

    @property
    def text(self) -> str:
        text = self.fields["text"]
        assert isinstance(text, str)
        return text


@dataclass
class _Ports:
    plain: int
    controller: int
    sasl: int
    tls: int


class KafkaBroker:
    """Runs on loopback: a listener without security, one with SASL PLAIN, and, with certificates, one with TLS."""

    def __init__(self, directory: Path, *, tls: tuple[Path, Path] | None = None, more: str = "") -> None:
        """tls: certificate and key, PEM. more: lines of server.properties."""
        self._directory = directory
        self._tls = tls
        self._more = more
        self._ports = _Ports(*_free_ports(4))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._ports.plain}"

    @property
    def sasl_address(self) -> str:
        return f"127.0.0.1:{self._ports.sasl}"

    @property
    def tls_address(self) -> str:
        return f"127.0.0.1:{self._ports.tls}"

    async def start(self, *topics: str, **configs: str) -> "KafkaBroker":
        """Start, or start again after kill(); return when it answers and these topics are there.

        configs: of the topics, with _ for dots.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        properties = self._directory / "server.properties"
        if not properties.exists():
            properties.write_text(self._settings())
            command = ("kafka.tools.StorageTool", "format", "-t", _CLUSTER, "-c", str(properties))
            await asyncio.to_thread(subprocess.run, self._command(*command), check=True, capture_output=True)
        self._spawn(properties)
        await eventually(self._answers, f"the broker; its log is {self._directory}/broker.log")
        for topic in topics:
            await self.create(topic, **configs)
        return self

    def _spawn(self, properties: Path) -> None:
        with (self._directory / "broker.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command("kafka.Kafka", str(properties)), stdout=log, stderr=log, start_new_session=True
            )

    async def create(self, topic: str, partitions: int = 3, **configs: str) -> None:
        config = {name.replace("_", "."): value for name, value in configs.items()}
        admin = self._admin()
        [future] = admin.create_topics([NewTopic(topic, partitions, 1, config=config)]).values()
        await asyncio.to_thread(future.result)

    async def allow(self, rights: list[AclBinding]) -> None:
        """Add these rights."""
        admin = self._admin()
        for future in admin.create_acls(rights).values():
            await asyncio.to_thread(future.result)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    async def sent(self, topic: str = TOPIC) -> list[Sent]:
        """Return all messages of a topic, partition by partition."""
        return await asyncio.to_thread(self._read, topic)

    def _read(self, topic: str) -> list[Sent]:
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": "test",
                "enable.auto.commit": False,
                "enable.partition.eof": False,
            }
        )
        try:
            found = consumer.list_topics(topic, 10).topics[topic]
            ends = {}
            for partition in found.partitions:
                low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), 10)
                if high > low:
                    ends[partition] = high
            consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
            messages = []
            while ends:
                message = consumer.poll(10)
                assert message is not None, f"the broker returned no message for 10 s; left: {ends}"
                if message.error():
                    continue
                messages.append(_sent(message))
                partition = message.partition()
                if message.offset() + 1 >= ends.get(partition, 0):
                    ends.pop(partition, None)
        finally:
            consumer.close()
        return messages

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self._directory / "broker.log").read_text()[-3000:]
        try:
            return bool(self._admin().list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def _admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.address, "log_level": 0})

    def _settings(self) -> str:
        tls = ""
        more = self._more
        if self._tls is not None:
            certificate, key = self._tls
            pem = self._directory / "broker.pem"
            pem.write_text(_pkcs8(key) + certificate.read_text())
            tls = f",TLS://127.0.0.1:{self._ports.tls}"
            more += f"\nlistener.name.tls.ssl.keystore.type=PEM\nlistener.name.tls.ssl.keystore.location={pem}\n"
        return _SETTINGS.format(
            **vars(self._ports),
            tls_listener=tls,
            data=self._directory / "data",
            user=USER,
            password=PASSWORD,
            more=more,
        )

    def _command(self, *arguments: str) -> list[str]:
        log4j = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [*_JAVA, log4j, "-cp", classpath(), *arguments]


def _sent(message: Any) -> Sent:
    [(name, identity)] = message.headers()
    assert name == "id"
    return Sent(message.key().decode(), identity.decode(), json.loads(message.value()), message.timestamp()[1])


def _pkcs8(key: Path) -> str:
    """Return a key as Java reads it from PEM."""
    command = ["openssl", "pkcs8", "-topk8", "-nocrypt", "-in", str(key)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
