using Dapper;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Genfence.Tests.Databases;

/// <summary>The connection is cut around what commits, in each way of changing a row; somebody reads all the while.</summary>
public sealed class CutTests(PostgresServer server) : DatabaseTest
{
    private readonly Postgres _database = new(server);

    protected override IDatabase Database => _database;

    protected override string Url => "memory://?wait=0s&reservation_time=900ms&reservation_margin=50ms";

    public override async ValueTask InitializeAsync()
    {
        await _database.CreateAsync();
        await base.InitializeAsync();
        await using var db = new Shop(new DbContextOptionsBuilder<Shop>().UseNpgsql(_database.ConnectionString).Options);
        await db.Database.EnsureCreatedAsync();
    }

    [Theory]
    [InlineData(Cut.Before)]
    [InlineData(Cut.At)]
    [InlineData(Cut.After)]
    public Task Nobody_is_served_what_was_there_before_and_nothing_is_stuck(Cut cut) => AllAsync(Way.All, async (way, row, proxy, witness) =>
    {
        proxy.CutAt(way.Sent, cut);
        await Assert.ThrowsAnyAsync<Exception>(() => way.Change(row));
        Assert.Equal(1, proxy.Seen);
        // What is lost on the way is known to nobody: then what was reserved is left.
        await witness.FreeAsync();
        Assert.Equal(cut == Cut.Before ? 1 : 2, await witness.TruthAsync());
        await AssertServedAsync(witness);
    });

    [Theory]
    [InlineData(Cut.Before)]
    [InlineData(Cut.At)]
    [InlineData(Cut.After)]
    public Task A_strategy_that_tries_it_again_does_so_under_reservations_of_its_own(Cut cut) => AllAsync(Way.All[..4], async (way, row, proxy, witness) =>
    {
        proxy.CutAt(way.Sent, cut);
        await way.Change(row);
        Assert.Equal(2, proxy.Seen);
        Assert.Equal(2, await witness.TruthAsync());
        // Of the first nobody knows to the end.
        await witness.FreeAsync();
        await AssertServedAsync(witness);
    }, retries: true);

    [Fact]
    public Task A_COMMIT_that_comes_too_late_is_refused_by_the_server() => AllAsync([Way.All[0], Way.All[1], Way.All[5]], async (way, row, proxy, witness) =>
    {
        // It is held until the reservation is over, and somebody has filled again what was there.
        proxy.Hold(way.Sent, async () =>
        {
            await witness.FreeAsync();
            await AssertServedAsync(witness);
        });
        await Assert.ThrowsAnyAsync<Exception>(() => way.Change(row));
        Assert.Equal(1, proxy.Seen);
        Assert.Equal(1, await witness.TruthAsync());
        await witness.FreeAsync();
        await AssertServedAsync(witness);
    });

    [Fact]
    public Task A_statement_that_waits_for_a_lock_is_given_up_before_its_reservation_is_over() => AllAsync(Way.All[2..4], async (way, row, proxy, witness) =>
    {
        await using (var connection = Database.Connect())
        {
            await connection.OpenAsync();
            await using var transaction = await connection.BeginTransactionAsync();
            await connection.ExecuteAsync($"SELECT FROM \"Prices\" WHERE \"Id\" = {row.Id} FOR UPDATE", transaction: transaction);
            await Assert.ThrowsAnyAsync<Exception>(() => way.Change(row));
        }
        await witness.FreeAsync();
        Assert.Equal(1, await witness.TruthAsync());
        await AssertServedAsync(witness);
    });

    [Fact]
    public async Task Many_statements_without_a_transaction_may_be_done_though_only_some_were_answered()
    {
        await using (var connection = Database.Connect())
        {
            // They are committed together, a while after the first of them were answered.
            await connection.ExecuteAsync("""
                CREATE FUNCTION wait() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END' LANGUAGE plpgsql;
                CREATE CONSTRAINT TRIGGER wait AFTER UPDATE ON "Prices" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW."Id" = 10) EXECUTE FUNCTION wait()
                """);
        }
        var way = new Way("many rows", "UPDATE \"", async row =>
        {
            await using var db = row.Open(false);
            db.Database.AutoTransactionBehavior = AutoTransactionBehavior.Never;
            await foreach (var price in db.Prices.Where(price => price.Id < 500).AsAsyncEnumerable())
            {
                price.Cents = 2;
            }
            await db.SaveChangesAsync();
        });
        await AllAsync([way], async (way, row, proxy, witness) =>
        {
            proxy.CutAt(way.Sent, Cut.Within);
            await Assert.ThrowsAnyAsync<Exception>(() => way.Change(row));
            await witness.FreeAsync();
            Assert.Equal(2, await witness.TruthAsync());
            await AssertServedAsync(witness);
        });
    }

    private static async Task AssertServedAsync(Witness witness) => Assert.Equal(await witness.TruthAsync(), await witness.ServedAsync());

    private async Task AllAsync(Way[] ways, Func<Way, Row, PostgresProxy, Witness, Task> test, bool retries = false)
    {
        await using (var connection = Database.Connect())
        {
            await connection.ExecuteAsync("INSERT INTO \"Prices\" SELECT \"Id\", 1, '' FROM generate_series(1, 999) AS \"Id\"");
        }
        await Task.WhenAll(ways.Select(async (way, index) =>
        {
            try
            {
                await OneAsync(way, 10 * (index + 1)).WaitAsync(Patience);
            }
            catch (Exception problem)
            {
                throw new InvalidOperationException($"{way.Name}: {problem.Message}", problem);
            }
        }));

        async Task OneAsync(Way way, int id)
        {
            var direct = new NpgsqlConnectionStringBuilder(_database.ConnectionString);
            await using var proxy = new PostgresProxy(direct.Port);
            var cut = new NpgsqlConnectionStringBuilder(_database.ConnectionString) { Port = proxy.Port }.ConnectionString;
            var row = new Row(id, retrying => Open(cut, retrying), () => new NpgsqlConnection(cut), Cache, retries, CancellationToken.None);
            var witness = new Witness(_database.ConnectionString, Cache, row.Key, $"SELECT \"Cents\" FROM \"Prices\" WHERE \"Id\" = {id}");
            await using (witness)
            {
                await test(way, row, proxy, witness);
            }
            Assert.Equal(0, witness.Stale);
            Assert.NotEqual(0, witness.Reads);
        }
    }

    private Shop Open(string connection, bool retries) => new(new DbContextOptionsBuilder<Shop>()
        .UseNpgsql(connection, options => _ = retries ? options.EnableRetryOnFailure(3, TimeSpan.FromMilliseconds(50), []) : options)
        .UseGenfence(Cache, Shop.Map)
        .Options);
}
