// The main job on SQLite, nothing to install:
//
//     cargo rustc --release --lib --crate-type cdylib --features capi,tls
//     dotnet run --project dotnet/samples/Quickstart
//
// On a cluster, for all processes at once: dotnet run … -- aerospike://127.0.0.1:3000/test/cache
using Genfence;
using Microsoft.Data.Sqlite;

using var database = new SqliteConnection("Data Source=:memory:");
database.Open();
Execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)");
Execute("INSERT INTO users VALUES (1, 'Ada')");
var selects = 0;

var url = args.Length > 0 ? args[0] : "memory://?ttl=5m";
await using var cache = await GenfenceCache.ConnectAsync(url);
await cache.InvalidateAsync("user:1");

// Read. One caller in all processes asks the database; the others wait for it.
var first = await cache.GetOrFillAsync("user:1", _ => SelectName(1));
var second = await cache.GetOrFillAsync("user:1", _ => SelectName(1));
Console.WriteLine($"read twice: {first}, {second}; asked the database {selects} time(s)");

// Change. From the reserve to the commit no reader is served a cached value.
var outcome = await cache.UpdateAsync("user:1", async (reservation, cancellation) =>
{
    await using var transaction = database.BeginTransaction();
    Execute("UPDATE users SET name = 'Grace' WHERE id = 1", transaction);
    if (reservation.Remaining == TimeSpan.Zero)
    {
        return SourceResult.RolledBack; // Too late: disposing the transaction rolls it back.
    }
    await transaction.CommitAsync(CancellationToken.None);
    return SourceResult.Committed("Grace");
});
var third = await cache.GetOrFillAsync("user:1", _ => SelectName(1));
Console.WriteLine($"changed: {outcome}; now {third}; asked the database {selects} time(s)");

// A reader that was overtaken by a writer stores nothing.
await cache.InvalidateAsync("user:1");
using (var lease = (await cache.LookupAsync("user:1")).Lease!)
{
    var old = await SelectName(1);
    await cache.UpdateAsync("user:1", (_, _) =>
    {
        Execute("UPDATE users SET name = 'Edsger' WHERE id = 1");
        return ValueTask.FromResult(SourceResult.Committed("Edsger"));
    });
    var fill = await lease.FillAsync(System.Text.Encoding.UTF8.GetBytes(old!));
    Console.WriteLine($"a fill with {old}, read before the change: {fill}");
}
var last = await cache.GetOrFillAsync("user:1", _ => SelectName(1));
Console.WriteLine($"the cache has {last}");
return (first, third, last, selects) == ("Ada", "Grace", "Edsger", 2) ? 0 : 1;

ValueTask<string?> SelectName(int id)
{
    selects++;
    using var command = database.CreateCommand();
    command.CommandText = "SELECT name FROM users WHERE id = $id";
    command.Parameters.AddWithValue("$id", id);
    return ValueTask.FromResult((string?)command.ExecuteScalar());
}

void Execute(string text, SqliteTransaction? transaction = null)
{
    using var command = database.CreateCommand();
#pragma warning disable CA2100 // Constants of this file.
    command.CommandText = text;
#pragma warning restore CA2100
    command.Transaction = transaction;
    command.ExecuteNonQuery();
}
