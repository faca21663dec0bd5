//! What the program prints: a line for each thing that matters, and never what a message holds.

use std::io::Write;

use env_logger::{Builder, Env, WriteStyle};

/// Starts the log on standard error. `filter` is a level, or what `RUST_LOG` holds.
pub(crate) fn start(filter: &str) {
    let filter = match filter {
        "warning" => "warn",
        "critical" => "error",
        other => other,
    };
    // paho speaks of each packet, payload and all, and of lost connections as we do. Whoever wants
    // to hear it names it.
    let filter = format!("paho_mqtt=off,paho_mqtt_c=off,r2d2=off,{filter}");
    Builder::from_env(Env::default().filter("TWINMGR_NO_VARIABLE"))
        .parse_filters(&filter)
        .write_style(WriteStyle::Auto)
        .format(|out, record| {
            let style = out.default_level_style(record.level());
            let (time, level) = (out.timestamp(), record.level());
            writeln!(out, "{time} {style}{level:<5}{style:#} {}", record.args())
        })
        .init();
    std::panic::set_hook(Box::new(|panic| {
        // The message of a panic may hold what came in; the place does not.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        log::error!("panic at {place}");
    }));
}
