//! The service: messages in, twins applied, outcomes committed and told.
