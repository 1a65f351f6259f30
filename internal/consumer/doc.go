// Package consumer is a module as a user has one: it sees only the public packages. Its tests build
// the examples as copies, store answers with database/sql and pgx, log them with several loggers, and
// print them with every printer that works by reflection.
package consumer
