//! The statements of the PostgreSQL inspections, each with its variants by version.

use super::versions::Question;

macro_rules! questions {
    ($($constant:ident = $name:literal [$($since:literal $file:literal),+];)*) => {
        $(pub(super) const $constant: &Question = &Question {
            name: $name,
            texts: &[$(($since, include_str!(concat!("sql/", $file, ".sql")))),+],
        };)*

        /// Every statement there is.
        #[cfg(test)]
        pub(super) const ALL: &[&Question] = &[$($constant),*];
    };
}

questions! {
    CAPABILITIES = "00_capabilities" [12 "00_capabilities"];
    HEALTH = "01_health" [12 "01_health"];
    CHECKPOINTS = "01_checkpoints" [12 "01_checkpoints", 17 "01_checkpoints.pg17"];
    SEQUENCES = "01_sequences" [12 "01_sequences"];
    PERFORMANCE = "02_performance" [12 "02_performance"];
    SIZES = "03_sizes" [12 "03_sizes"];
    TOP_RELATIONS = "03_top_relations" [12 "03_top_relations"];
    CONNECTIONS = "04_connections" [12 "04_connections"];
    CONNECTION_LIMITS = "04_connection_limits" [12 "04_connection_limits"];
    DATABASE_FACTS = "05_database_facts" [12 "05_database_facts"];
    REPLICATION_PRIMARY = "06_replication_primary" [12 "06_replication_primary"];
    REPLICATION_SLOTS = "06_replication_slots" [12 "06_replication_slots"];
    REPLICATION_STANDBY = "06_replication_standby" [12 "06_replication_standby"];
    BLOAT_CANDIDATES = "07_bloat_tier0" [12 "07_bloat_tier0"];
    BLOAT_EXACT = "07_bloat_tier1" [12 "07_bloat_tier1"];
    BLOAT_FSM = "07_bloat_fsm" [12 "07_bloat_fsm"];
    STATEMENTS = "08_statements" [
        12 "08_statements", 13 "08_statements.pg13", 14 "08_statements.pg14", 17 "08_statements.pg17"
    ];
    STATEMENT_TEXTS = "08_statement_texts" [12 "08_statement_texts"];
    STATEMENTS_INFO = "08_statements_info" [14 "08_statements_info.pg14"];
    INDEX_USAGE = "09_index_usage" [12 "09_index_usage", 16 "09_index_usage.pg16"];
    INDEX_REDUNDANT = "09_index_redundant" [12 "09_index_redundant"];
    INDEX_INVALID = "09_index_invalid" [12 "09_index_invalid"];
    FK_WITHOUT_INDEX = "09_fk_without_index" [12 "09_fk_without_index"];
    SCAN_RATIO = "09_scan_ratio" [12 "09_scan_ratio"];
    VACUUM_DUE = "10_vacuum_due" [
        12 "10_vacuum_due", 13 "10_vacuum_due.pg13", 18 "10_vacuum_due.pg18"
    ];
    VACUUM_PROGRESS = "10_vacuum_progress" [12 "10_vacuum_progress"];
    VACUUM_WORKERS = "10_vacuum_workers" [12 "10_vacuum_workers"];
    XMIN_HOLDERS = "10_xmin_holders" [12 "10_xmin_holders"];
    LOCKS = "11_locks" [12 "11_locks"];
}
