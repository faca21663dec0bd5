//! The tables' forms through time, built into the program.

use diesel::backend::Backend;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{StoreError, Target, connection::Db};

const MYSQL: EmbeddedMigrations = embed_migrations!("migrations/mysql");
const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Brings the tables to the present form; the names of the migrations that it took.
pub(super) fn run(target: &Target, db: &mut Db) -> Result<Vec<String>, StoreError> {
    match db {
        Db::MySql(db) => run_on(target, db, MYSQL),
        Db::Sqlite(db) => run_on(target, db, SQLITE),
    }
}

/// The names of those that the tables have not seen.
pub(super) fn pending(target: &Target, db: &mut Db) -> Result<Vec<String>, StoreError> {
    match db {
        Db::MySql(db) => pending_on(target, db, MYSQL),
        Db::Sqlite(db) => pending_on(target, db, SQLITE),
    }
}

fn pending_on<DB: Backend>(
    target: &Target,
    db: &mut impl MigrationHarness<DB>,
    source: EmbeddedMigrations,
) -> Result<Vec<String>, StoreError> {
    let pending = db.pending_migrations(source).map_err(|error| {
        StoreError::of_migration(target, "__diesel_schema_migrations", error.to_string())
    })?;
    Ok(pending.iter().map(|migration| migration.name().to_string()).collect())
}

fn run_on<DB: Backend>(
    target: &Target,
    db: &mut impl MigrationHarness<DB>,
    source: EmbeddedMigrations,
) -> Result<Vec<String>, StoreError> {
    let pending = db.pending_migrations(source).map_err(|error| {
        StoreError::of_migration(target, "__diesel_schema_migrations", error.to_string())
    })?;
    let mut names = Vec::new();
    for migration in pending {
        let name = migration.name().to_string();
        db.run_migration(&*migration)
            .map_err(|error| StoreError::of_migration(target, &name, error.to_string()))?;
        names.push(name);
    }
    Ok(names)
}
