//! What is known of each kind of symptom: one entry a kind, for engine, agent and people alike.

use super::{Family, FindingKind};

/// A kind of symptom.
#[derive(Debug)]
pub struct About {
    /// The word people read and the store keeps; the kind's own name in kebab case.
    pub word: &'static str,
    pub family: Family,
    /// Within the family: a later stage of the same problem has a higher one.
    pub stage: u8,
    /// Whether clients feel it now, as opposed to soon.
    pub hurts_clients: bool,
    /// The symptom as a phrase.
    pub phrase: &'static str,
    /// What goes on if nobody does anything.
    pub if_not: &'static str,
    /// Which causes look alike behind it, and so what is asked first.
    pub asks: &'static str,
    /// The cheapest next question when no known cause fits.
    pub next_question: &'static str,
}

impl FindingKind {
    /// What is known of it.
    pub fn about(self) -> &'static About {
        match self {
            Self::ServerDown => &About {
                word: "server-down",
                family: Family::Availability,
                stage: 2,
                hurts_clients: true,
                phrase: "a server that is down",
                if_not: "the server stays down",
                asks: "A pause, a kill, a lack of memory and a cut network look the same from outside, so: the state of what it runs in, and what the runtime reported",
                next_question: "whether the process runs, and its log",
            },
            Self::ServerHung => &About {
                word: "server-hung",
                family: Family::Availability,
                stage: 1,
                hurts_clients: true,
                phrase: "a server that does not answer",
                if_not: "clients go on waiting for answers that do not come",
                asks: "A pause, a kill, a lack of memory and a cut network look the same from outside, so: the state of what it runs in, and what the runtime reported",
                next_question: "whether the process runs, and its log",
            },
            Self::ClientsRefused => &About {
                word: "clients-refused",
                family: Family::Connections,
                stage: 2,
                hurts_clients: true,
                phrase: "refused clients",
                if_not: "new clients stay locked out until slots are freed",
                asks: "Leaked sessions, open transactions, a queue behind a lock, slow queries and plain load take slots alike, so: what every session does, and since when",
                next_question: "the server's log at the moment of a refusal",
            },
            Self::WritesRefused => &About {
                word: "writes-refused",
                family: Family::Memory,
                stage: 1,
                hurts_clients: true,
                phrase: "refused writes",
                if_not: "every write stays refused until its cause is removed",
                asks: "A leak, a lowered limit, client buffers, a single huge key, a read-only server and a full volume look alike to a client, so: the words of the refusal, settings, and what takes the room",
                next_question: "the words of the refusal and the server's log",
            },
            Self::ProbeFailing => &About {
                word: "probe-failing",
                family: Family::Other,
                stage: 0,
                hurts_clients: true,
                phrase: "a failing probe",
                if_not: "clients go on getting the error",
                asks: "The error is none of the known ones, so: what it runs in, and the server from inside",
                next_question: "the words of the error and the server's log",
            },
            Self::Slow => &About {
                word: "slow",
                family: Family::Speed,
                stage: 0,
                hurts_clients: true,
                phrase: "answers that take many times as long as they did",
                if_not: "clients go on waiting long for every answer",
                asks: "Too little processor time, commands that block everybody and plain load feel the same, so: whether what it runs in is held back, and what the server itself was busy with",
                next_question: "whether the machine itself is busy, and what the server does meanwhile",
            },
            Self::VolumeFull => &About {
                word: "volume-full",
                family: Family::Memory,
                stage: 0,
                hurts_clients: false,
                phrase: "a full volume",
                if_not: "everything that needs room there fails, and what needs none goes on",
                asks: "Tables that grew and files that are not the server's fill a volume alike, so: how full it is, and what lies on it",
                next_question: "what lies on the volume (du), and who writes it",
            },
            Self::MemoryPressure => &About {
                word: "memory-pressure",
                family: Family::Memory,
                stage: 0,
                hurts_clients: false,
                phrase: "memory that is nearly full",
                if_not: "writes are refused as soon as the memory is full",
                asks: "A leak, a lowered limit, client buffers and a single huge key fill it alike, so: memory, settings, clients and keys, before writes are refused",
                next_question: "what the memory is used for (MEMORY STATS)",
            },
            Self::ConnectionPressure => &About {
                word: "connection-pressure",
                family: Family::Connections,
                stage: 0,
                hurts_clients: false,
                phrase: "connection slots that are nearly used up",
                if_not: "the sessions keep their slots, and new clients are refused once the others are taken",
                asks: "Leaked sessions and a pool at work look the same by number, so: what every session does, and since when",
                next_question: "who holds the sessions and what they do",
            },
            Self::DataVanished => &About {
                word: "data-vanished",
                family: Family::Data,
                stage: 0,
                hurts_clients: true,
                phrase: "data that is gone",
                if_not: "clients go on finding nothing, and whatever can be computed again loads the servers behind",
                asks: "A flush, evictions and a replica that took over an empty copy look the same to a client, so: how the keys went, what is left, and who is connected",
                next_question: "how the keys went (INFO commandstats, evicted_keys, expired_keys)",
            },
            Self::CacheMisses => &About {
                word: "cache-misses",
                family: Family::Cache,
                stage: 0,
                hurts_clients: true,
                phrase: "keys that are missed far more often than before",
                if_not: "clients go on missing, and whatever the keys were computed from carries the load",
                asks: "A lowered limit, another policy and data that outgrew its room evict alike, so: limit and policy now and while it was healthy, and what is evicted",
                next_question: "what is read and not found (redis-cli MONITOR, for a moment)",
            },
            Self::LockQueue => &About {
                word: "lock-queue",
                family: Family::Connections,
                stage: 1,
                hurts_clients: true,
                phrase: "sessions that wait for a lock",
                if_not: "they wait on, others join them, and new clients are refused once they hold every slot",
                asks: "A session that stopped inside its transaction, one at work and a prepared transaction that nobody ends hold a lock alike, so: who waits for whom, and what the first of them does",
                next_question: "who holds the lock (pg_locks, pg_prepared_xacts)",
            },
            Self::DeadRows => &About {
                word: "dead-rows",
                family: Family::Upkeep,
                stage: 0,
                hurts_clients: false,
                phrase: "dead rows that are not removed",
                if_not: "the tables and their indexes grow, and every query reads more for the same rows",
                asks: "An old snapshot, a prepared transaction, a replication slot and an autovacuum that is off leave dead rows behind alike, so: the oldest of what may still need them, and when a vacuum ran last",
                next_question: "what VACUUM (VERBOSE) says about rows that are dead but not yet removable",
            },
            Self::WalRetained => &About {
                word: "wal-retained",
                family: Family::Upkeep,
                stage: 0,
                hurts_clients: false,
                phrase: "WAL that cannot be removed",
                if_not: "it grows with every write until its volume is full, and then the server stops",
                asks: "A slot that nobody reads and an archive that takes nothing keep WAL alike, so: every slot with what it keeps, and how the archive's last attempts ended",
                next_question: "what keeps the oldest segment (pg_replication_slots, pg_stat_archiver, wal_keep_size)",
            },
            Self::InvalidIndex => &About {
                word: "invalid-index",
                family: Family::Upkeep,
                stage: 0,
                hurts_clients: false,
                phrase: "an index that serves no query",
                if_not: "every write goes on paying for an index that no query may use",
                asks: "A build that failed and one that is under way leave an invalid index alike, so: every invalid index, and who is at work on its table",
                next_question: "the server's log at the time the index was built",
            },
            Self::Deadlocks => &About {
                word: "deadlocks",
                family: Family::Other,
                stage: 0,
                hurts_clients: true,
                phrase: "deadlocks, one after the other",
                if_not: "clients go on losing transactions, each after waiting for deadlock_timeout",
                asks: "Only the programs know in which order they lock, so: how many deadlocks there are, in which database, and what the server's log says of them",
                next_question: "the statements in the server's log beside each deadlock",
            },
            Self::Noticed => &About {
                word: "noticed",
                family: Family::Outside,
                stage: 0,
                hurts_clients: false,
                phrase: "what somebody outside noticed",
                if_not: "whoever noticed it goes on noticing it",
                asks: "It was not measured here and may be anything, so: everything that is usually asked, and only what is confirmed counts",
                next_question: "whoever noticed it, what exactly they see",
            },
        }
    }
}
