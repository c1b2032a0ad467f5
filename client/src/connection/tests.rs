//! The client against a toy server.
