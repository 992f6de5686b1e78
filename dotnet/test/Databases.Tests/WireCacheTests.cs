using System.Diagnostics;
using System.Transactions;
using Dapper;
using Genfence.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore;
using Npgsql;

namespace Genfence.Tests.Databases;

/// <summary>A cache that more than one process has.</summary>
public sealed class WireCacheTests(PostgresServer server, WireServer wire) : PostgresShopTest(server), IClassFixture<WireServer>
{
    // Two rows, and one.
    private static readonly int[] s_killed = [0, 2];

    protected override string Url =>
        $"aerospike://{wire.Address}/test/cache?timeout=5s&cluster_guard=off&wait=0s&reservation_time=1500ms&reservation_margin=50ms";

    [Fact]
    public Task A_process_that_is_killed_between_COMMIT_and_telling_the_cache_leaves_nothing_that_was_there_before() =>
        Task.WhenAll(s_killed.Select(async way =>
        {
            var id = 10 * (way + 1);
            await using (var connection = Database.Connect())
            {
                await connection.ExecuteAsync($"INSERT INTO \"Prices\" VALUES ({id}, 1, ''), ({id + 1}, 1, '')");
            }
            var direct = new NpgsqlConnectionStringBuilder(Postgres.ConnectionString);
            await using var proxy = new PostgresProxy(direct.Port);
            var through = new NpgsqlConnectionStringBuilder(Postgres.ConnectionString) { Port = proxy.Port }.ConnectionString;
            await using var witness = new Witness(Postgres.ConnectionString, Cache, $"price:{id}", $"SELECT \"Cents\" FROM \"Prices\" WHERE \"Id\" = {id}");
            using var writer = new Process { StartInfo = new("dotnet", [Support.Metadata("Writer"), through, Url, $"{way}", $"{id}"]) };
            // The server has committed it, and nobody else knows.
            proxy.Answered(Way.All[way].Sent, writer.Kill);
            writer.Start();
            await writer.WaitForExitAsync().WaitAsync(Patience);
            Assert.Equal((137, 1), (writer.ExitCode, proxy.Seen));
            Assert.Equal(2, await witness.TruthAsync());
            await witness.FreeAsync().WaitAsync(Patience);
            Assert.Equal(2, await witness.ServedAsync());
            Assert.Equal(0, witness.Stale);
        }));

    [Fact]
    public async Task A_scope_whose_time_is_over_while_its_keys_are_being_reserved_is_rolled_back_and_leaves_nothing_reserved()
    {
        var slow = new WireServer();
        await slow.InitializeAsync();
        await using var server = slow;
        await using var cache = await GenfenceCache.ConnectAsync($"aerospike://{slow.Address}/test/cache?timeout=20s&cluster_guard=off&wait=0s&reservation_time=5m");
        await cache.SetAsync("product:1", "old");
        var options = new DbContextOptionsBuilder<Shop>();
        Database.Use(options);
        await using var db = new Shop(options.UseGenfence(cache, Shop.Map).Options);
        var scope = new TransactionScope(TransactionScopeOption.Required, TimeSpan.FromMilliseconds(300), TransactionScopeAsyncFlowOption.Enabled);
        (await db.Products.FirstAsync(row => row.Id == 1)).Name = "Kettle";
        await db.SaveChangesAsync();
        await slow.OrderAsync("delay-reply 3000");
        scope.Complete();
        var disposed = Task.Run(scope.Dispose);
        // It waits for nobody whose answer does not matter any more.
        await Assert.ThrowsAsync<TransactionAbortedException>(() => disposed.WaitAsync(Patience));
        Assert.Equal("Pot", (await Open().Products.FirstAsync(row => row.Id == 1)).Name);
        Assert.Equal(0, cache.Stats.Reservations);
        for (var waited = Stopwatch.StartNew(); (await cache.TryGetAsync<string>("product:1")).Value != "new";)
        {
            Assert.True(waited.Elapsed < Patience, "it is still reserved");
            Assert.Contains(await cache.GetOrFillAsync("product:1", _ => ValueTask.FromResult("new")), (string[])["old", "new"]);
        }
        // Its own key, and that of its list.
        Assert.Equal((2L, 0L), (cache.Stats.Reservations, cache.Stats.ReservationsLeft));
    }

    [Fact]
    public async Task On_a_cluster_a_transaction_may_take_as_long_as_its_reservations_though_the_lease_on_the_cluster_is_shorter()
    {
        await using var cache = await GenfenceCache.ConnectAsync(
            $"aerospike://{wire.Address}/test/guarded?timeout=5s&cluster_guard_time=500ms&reservation_time=20s");
        await using var connection = Database.Connect();
        await cache.TransactionAsync(
            connection,
            ["price:1"],
            async (transaction, fence, cancellation) =>
            {
                Assert.InRange(fence.Remaining, TimeSpan.FromTicks(1), TimeSpan.FromMilliseconds(500));
                await Task.Delay(800, cancellation);
                await connection.ExecuteAsync("UPDATE \"Prices\" SET \"Cents\" = 7 WHERE \"Id\" = 1", transaction: transaction);
            },
            isReservedEarly: true);
        Assert.Equal(0, cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task Where_processes_keep_copies_keys_are_reserved_before_a_statement_is_sent_and_no_copy_outlives_the_COMMIT()
    {
        // A set's caches all say the same.
        var near = $"{Url.Replace("1500ms", "5s", StringComparison.Ordinal).Replace("cache?", "near?", StringComparison.Ordinal)}&near=1s";
        await using var cache = await GenfenceCache.ConnectAsync(near);
        await using var other = await GenfenceCache.ConnectAsync(near);
        await Task.WhenAll(Enumerable.Range(0, 3).Select(async way =>
        {
            var id = 100 + (10 * way);
            await using (var connection = Database.Connect())
            {
                await connection.ExecuteAsync($"INSERT INTO \"Prices\" VALUES ({id}, 1, ''), ({id + 1}, 1, '')");
            }
            await using var witness = new Witness(Postgres.ConnectionString, other, $"price:{id}", $"SELECT \"Cents\" FROM \"Prices\" WHERE \"Id\" = {id}");
            await UntilAsync(() => witness.Reads > 5);
            var watch = new Watch
            {
                Sending = text => text.Contains("UPDATE \"", StringComparison.Ordinal) ? ReservedAsync() : Task.CompletedTask,
            };
            async Task ReservedAsync()
            {
                var looked = await cache.LookupAsync($"price:{id}");
                looked.Lease?.Dispose();
                Assert.Equal(BypassReason.Reserved, looked.Bypass);
            }

            var options = new DbContextOptionsBuilder<Shop>();
            Database.Use(options);
            options.UseGenfence(cache, Shop.Map).AddInterceptors(watch);
            await Way.All[way].Change(new Row(id, _ => new Shop(options.Options), () => Database.Connect(), cache, false, CancellationToken.None)).WaitAsync(Patience);
            var reads = witness.Reads;
            await UntilAsync(() => witness.Reads > reads + 5);
            Assert.Equal((0, 2), (witness.Stale, await witness.ServedAsync()));
        }));

        static async Task UntilAsync(Func<bool> condition)
        {
            for (var waited = Stopwatch.StartNew(); !condition() && waited.Elapsed < Patience;)
            {
                await Task.Delay(5);
            }
            Assert.True(condition());
        }
    }
}
