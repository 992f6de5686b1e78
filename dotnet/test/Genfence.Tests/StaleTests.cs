using Microsoft.Data.Sqlite;

namespace Genfence.Tests;

/// <summary>
/// The crossing that the project began with, forced step by step on a real database: one writer overtakes
/// another between the touch of the key and the store in the cache.
/// </summary>
public class StaleTests : CacheTest
{
    private const int Rounds = 50;

    private static readonly string[] s_writers = ["first", "second"];

    [Fact]
    public async Task Writers_that_cross_leave_no_stale_value_here_and_do_with_the_three_line_idea()
    {
        int genfence = 0, idea = 0;
        for (var round = 0; round < Rounds; round++)
        {
            using var database = new Database();
            var key = $"round:{round}";

            // The three lines: touch, change the source, store if the generation is still the same.
            var record = new Record();
            _ = record.Touch();
            var newest = record.Touch();
            database.Write(s_writers[1]);
            var value = database.Read();
            database.Write(s_writers[0]);
            record.StoreIf(newest, value);
            idea += record.Value is { } kept && kept != database.Read() ? 1 : 0;

            using var first = await Cache.ReserveAsync(key).Within();
            using var second = await Cache.ReserveAsync(key).Within();
            database.Write(s_writers[1]);
            var read = database.Read();
            database.Write(s_writers[0]);
            _ = await second.CommitAsync(Support.Bytes(read)).Within();
            var cached = Support.Text(await Cache.GetAsync(key).Within());
            genfence += cached is not null && cached != database.Read() ? 1 : 0;
            _ = await first.CommitAsync(Support.Bytes(database.Read())).Within();
            cached = Support.Text(await Cache.GetAsync(key).Within());
            genfence += cached is not null && cached != database.Read() ? 1 : 0;
        }
        Assert.Equal((0, Rounds), (genfence, idea));
    }

    [Fact]
    public async Task Readers_and_writers_at_full_speed_never_see_an_older_value()
    {
        const int Keys = 4, Writes = 150;
        var source = new long[Keys];
        long stale = 0, reads = 0, stored = 0;
        var writing = 2;
        var writers = Enumerable.Range(0, 2).Select(writer => Task.Run(async () =>
        {
            var random = new Random(writer);
            for (var i = 0; i < Writes; i++)
            {
                var key = random.Next(Keys);
                var outcome = await Cache.UpdateAsync($"k{key}", async (_, _) =>
                {
                    var version = Interlocked.Increment(ref source[key]);
                    await Task.Yield();
                    return SourceResult.Committed(version);
                });
                Interlocked.Add(ref stored, outcome == UpdateOutcome.Stored ? 1 : 0);
                // Readers get a turn with a value there.
                await Task.Delay(1);
            }
            Interlocked.Decrement(ref writing);
        }));
        var readers = Enumerable.Range(0, 4).Select(reader => Task.Run(async () =>
        {
            var random = new Random(reader);
            while (Volatile.Read(ref writing) > 0)
            {
                var key = random.Next(Keys);
                var least = Volatile.Read(ref source[key]);
                var value = await Cache.GetOrFillAsync($"k{key}", async _ =>
                {
                    var version = Volatile.Read(ref source[key]);
                    await Task.Yield();
                    return version;
                });
                Interlocked.Increment(ref reads);
                Interlocked.Add(ref stale, value < least ? 1 : 0);
            }
        }));
        await Task.WhenAll(writers.Concat(readers)).WaitAsync(TimeSpan.FromMinutes(1));
        Assert.True(stored > 0 && reads > Writes && Cache.Stats.Hits > 0, $"{stored} stored, {reads} reads");
        Assert.Equal(0, stale);
    }

    /// <summary>A record with a generation, as Aerospike has it.</summary>
    private sealed class Record
    {
        private int _generation;

        public string? Value { get; private set; }

        public int Touch() => ++_generation;

        public void StoreIf(int generation, string value)
        {
            if (_generation == generation)
            {
                _generation++;
                Value = value;
            }
        }
    }

    private sealed class Database : IDisposable
    {
        private readonly SqliteConnection _connection = new("Data Source=:memory:");

        public Database()
        {
            _connection.Open();
            Execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL)", "");
            Execute("INSERT INTO users VALUES (1, $name)", "nobody");
        }

        public void Write(string name) => Execute("UPDATE users SET name = $name WHERE id = 1", name);

        public string Read()
        {
            using var command = _connection.CreateCommand();
            command.CommandText = "SELECT name FROM users WHERE id = 1";
            return (string)command.ExecuteScalar()!;
        }

        public void Dispose() => _connection.Dispose();

        private void Execute(string text, string name)
        {
            using var command = _connection.CreateCommand();
#pragma warning disable CA2100 // Constants of this file.
            command.CommandText = text;
#pragma warning restore CA2100
            command.Parameters.AddWithValue("$name", name);
            command.ExecuteNonQuery();
        }
    }
}
