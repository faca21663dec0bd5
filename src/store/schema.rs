//! The tables of `migrations/`, for both databases.

diesel::table! {
    /// One row for each twin.
    twin (client_id) {
        #[sql_name = "clientId"]
        client_id -> Text,
        reported -> Nullable<Text>,
        #[sql_name = "reportedMeta"]
        reported_meta -> Nullable<Text>,
        desired -> Nullable<Text>,
        #[sql_name = "desiredMeta"]
        desired_meta -> Nullable<Text>,
        declined -> Nullable<Text>,
        #[sql_name = "declinedMeta"]
        declined_meta -> Nullable<Text>,
        version -> BigInt,
        revision -> BigInt,
        applied_epoch -> BigInt,
        applied_number -> BigInt,
        sent -> Nullable<Text>,
        online -> Nullable<Bool>,
        session -> BigInt,
        unsettled -> Bool,
        untold -> Bool,
    }
}

diesel::table! {
    /// Twins that were deleted, and the inbox entry that did it.
    twin_deleted (client_id) {
        #[sql_name = "clientId"]
        client_id -> Text,
        applied_epoch -> BigInt,
        applied_number -> BigInt,
    }
}

diesel::table! {
    /// The manager's own numbers, by name.
    twin_manager (name) {
        name -> Text,
        value -> BigInt,
    }
}
