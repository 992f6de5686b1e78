// What SaveChanges costs more where its keys are fenced: on a SQLite database in memory, or on the PostgreSQL that GENFENCE_POSTGRES names; with
// memory:// for a cache, or GENFENCE_URL.
using BenchmarkDotNet.Running;
using Genfence.Bench;

BenchmarkRunner.Run<Saves>(args: args);
