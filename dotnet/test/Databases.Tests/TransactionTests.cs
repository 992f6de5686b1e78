using System.Data;
using System.Data.Common;
using Dapper;
using Npgsql;

namespace Genfence.Tests.Databases;

/// <summary>Transactions of ADO.NET, with Dapper on it.</summary>
public abstract class TransactionTests : DatabaseTest
{
    private const string Rename = "UPDATE products SET name = @name WHERE id = @id RETURNING name";

    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        await using var connection = Database.Connect();
        await connection.ExecuteAsync("CREATE TABLE products (id integer PRIMARY KEY, name text); INSERT INTO products VALUES (1, 'pot'), (2, 'cup')");
    }

    private async Task<string?> NameAsync(int id)
    {
        await using var connection = Database.Connect();
        return await connection.ExecuteScalarAsync<string>("SELECT name FROM products WHERE id = @id", new { id });
    }

    private static Task<string?> RenameAsync(DbTransaction transaction, int id, string name) =>
        transaction.Connection!.ExecuteScalarAsync<string>(Rename, new { id, name }, transaction);

    [Fact]
    public async Task Readers_keep_their_hits_until_it_is_committed_and_have_what_it_tells_of_then()
    {
        await FillAsync("product:1", "product:2", "products", "others");
        await using var connection = Database.Connect();
        var id = await Cache.TransactionAsync(connection, ["product:1"], async (transaction, fence, cancellation) =>
        {
            fence.SetOfChangedRows("product:1", await RenameAsync(transaction, 1, "kettle"));
            await RenameAsync(transaction, 2, "mug");
            // What is made of other rows, too, is only released.
            fence.Add(["product:2", "products", "product:2"]);
            Assert.Equal(3, fence.Count);
            Assert.Equal(TimeSpan.MaxValue, fence.Remaining);
            await AssertHeldAsync("old", "product:1", "product:2", "products");
            return 7;
        });
        Assert.Equal((7, ConnectionState.Closed), (id, connection.State));
        await AssertHeldAsync("kettle", "product:1");
        await AssertEmptyAsync("product:2", "products");
        await AssertHeldAsync("old", "others");
        Assert.Equal(("kettle", "mug"), (await NameAsync(1), await NameAsync(2)));
    }

    [Fact]
    public async Task What_throws_or_is_cancelled_has_not_touched_the_cache()
    {
        await FillAsync("product:1");
        await using var connection = Database.Connect();
        await connection.OpenAsync();
        using var stop = new CancellationTokenSource();
        await Assert.ThrowsAsync<FormatException>(() => ChangeAsync(() => throw new FormatException("of the program's own")));
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => ChangeAsync(stop.Cancel));
        Assert.Equal(ConnectionState.Open, connection.State);
        await AssertHeldAsync("old", "product:1");
        Assert.Equal("pot", await NameAsync(1));

        Task ChangeAsync(Action then) => Cache.TransactionAsync(
            connection,
            ["product:1"],
            async (transaction, fence, cancellation) =>
            {
                await RenameAsync(transaction, 1, "kettle");
                then();
            },
            cancellationToken: stop.Token).AsTask();
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(true, true)]
    [InlineData(false, false)]
    public async Task A_closure_that_ends_it_by_itself_leaves_nothing_that_was_there_before(bool isCommitted, bool isThrown)
    {
        await FillAsync("product:1", "product:2");
        await using var connection = Database.Connect();
        var refused = await Assert.ThrowsAsync<InvalidOperationException>(() => Cache.TransactionAsync(connection, ["product:1"], async (transaction, fence, cancellation) =>
        {
            fence.SetOfChangedRows("product:2", "never");
            await RenameAsync(transaction, 1, "kettle");
            await (isCommitted ? transaction.CommitAsync(cancellation) : transaction.RollbackAsync(cancellation));
            if (isThrown)
            {
                throw new InvalidOperationException("the closure has failed");
            }
        }).AsTask());
        Assert.StartsWith(isThrown ? "the closure has failed" : "change: the closure has ended the transaction", refused.Message, StringComparison.Ordinal);
        Assert.Equal(isCommitted ? "kettle" : "pot", await NameAsync(1));
        await AssertEmptyAsync("product:1", "product:2");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task A_value_of_what_was_read_is_set_where_its_key_was_reserved_before()
    {
        await FillAsync("product:1", "product:2");
        await using var connection = Database.Connect();
        await Cache.TransactionAsync(connection, ["product:1"], async (transaction, fence, cancellation) =>
        {
            Assert.Throws<InvalidOperationException>(() => fence.Set("product:1", "too early"));
            Assert.Throws<InvalidOperationException>(() => fence.Set("product:2", "not named"));
            fence.Add("product:2");
            await fence.ReserveAsync(cancellation);
            await AssertReservedAsync("product:1", "product:2");
            fence.Set("product:1", "new");
            Assert.InRange(fence.Remaining, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(10));
        });
        await AssertHeldAsync("new", "product:1");
        await AssertEmptyAsync("product:2");

        await Cache.TransactionAsync(
            connection,
            ["product:1"],
            async (transaction, fence, cancellation) =>
            {
                await AssertReservedAsync("product:1");
                fence.Set("product:1", await RenameAsync(transaction, 1, "kettle"));
            },
            isReservedEarly: true);
        await AssertHeldAsync("kettle", "product:1");

        await FillAsync("product:2");
        await Assert.ThrowsAsync<FormatException>(() => Cache.TransactionAsync(
            connection, ["product:2"], (_, _, _) => throw new FormatException("of the program's own"), isReservedEarly: true).AsTask());
        await AssertEmptyAsync("product:2");
        Assert.Equal(0, Cache.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task What_takes_longer_than_its_reservations_is_rolled_back()
    {
        await using var hasty = await GenfenceCache.ConnectAsync("memory://?reservation_time=300ms&reservation_margin=50ms");
        await using var connection = Database.Connect();
        await Assert.ThrowsAsync<GenfenceTransactionTimeoutException>(() => hasty.TransactionAsync(
            connection,
            ["product:1"],
            async (transaction, fence, cancellation) =>
            {
                await RenameAsync(transaction, 1, "kettle");
                await Task.Delay(Timeout.Infinite, cancellation);
            },
            isReservedEarly: true).AsTask());
        // Also one that does not look at its token.
        var late = await Assert.ThrowsAnyAsync<Exception>(() => hasty.TransactionAsync(connection, ["product:1"], async (transaction, fence, cancellation) =>
        {
            await fence.ReserveAsync(cancellation);
            await RenameAsync(transaction, 1, "kettle");
            await Task.Delay(400, CancellationToken.None);
        }).AsTask());
        Assert.IsType<GenfenceTransactionTimeoutException>(late);
        Assert.Equal("pot", await NameAsync(1));
        Assert.Equal(0, hasty.Stats.ReservationsLeft);
    }

    [Fact]
    public async Task Where_a_key_cannot_be_reserved_nothing_is_committed()
    {
        await using var gone = await GenfenceCache.ConnectAsync("memory://");
        await using var connection = Database.Connect();
        await Assert.ThrowsAsync<GenfenceShutDownException>(() => gone.TransactionAsync(connection, ["product:1"], async (transaction, fence, cancellation) =>
        {
            await RenameAsync(transaction, 1, "kettle");
            // It waits for what is under way, and begins nothing new.
            _ = gone.DisposeAsync().AsTask();
            await Task.Yield();
        }).AsTask().WaitAsync(Patience));
        Assert.Equal("pot", await NameAsync(1));
    }
}

public sealed class SqliteTransactionTests : TransactionTests
{
    protected override IDatabase Database { get; } = new Sqlite();
}

public sealed class PostgresTransactionTests(PostgresServer server) : TransactionTests
{
    private readonly Postgres _database = new(server);

    protected override IDatabase Database => _database;

    public override async ValueTask InitializeAsync()
    {
        await _database.CreateAsync();
        await base.InitializeAsync();
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_server_has_its_bounds_and_those_that_are_shorter_stay(bool isReservedEarly)
    {
        await using (var connection = Database.Connect())
        {
            await connection.ExecuteAsync("""
                CREATE TABLE seen (statement text, idle text, lock text);
                CREATE FUNCTION look() RETURNS trigger AS '
                    BEGIN INSERT INTO seen SELECT current_setting(''statement_timeout''), current_setting(''idle_in_transaction_session_timeout''),
                        current_setting(''lock_timeout''); RETURN NEW; END' LANGUAGE plpgsql;
                CREATE CONSTRAINT TRIGGER look AFTER UPDATE ON products DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION look()
                """);
        }
        foreach (var (options, shortest) in new[] { ("", 0), ("Options=-c statement_timeout=1234ms -c idle_in_transaction_session_timeout=1s -c lock_timeout=99ms", 1234) })
        {
            await using var connection = Database.Connect(options);
            await connection.OpenAsync();
            await Cache.TransactionAsync(
                connection,
                ["product:1"],
                async (transaction, fence, cancellation) =>
                {
                    Assert.Equal(shortest == 0 ? "0" : "1234ms", await TimeoutAsync(connection));
                    await connection.ExecuteAsync("UPDATE products SET name = 'kettle' WHERE id = 1", transaction: transaction);
                },
                isReservedEarly: isReservedEarly);
            // It was for the transaction alone.
            Assert.Equal(shortest == 0 ? "0" : "1234ms", await TimeoutAsync(connection));
            var (statement, idle, wait) = await connection.QuerySingleAsync<(string, string, string)>("DELETE FROM seen RETURNING *");
            Assert.Equal(shortest == 0 ? ("2999ms", "2999ms", "2999ms") : ("1234ms", "1s", "99ms"), (Rounded(statement), Rounded(idle), Rounded(wait)));
        }

        // Some of it has passed already, if only little.
        static string Rounded(string time) => time.Length == 6 && time[0] == '2' ? $"{time[0]}999ms" : time;

        static async Task<string> TimeoutAsync(DbConnection connection) => (await connection.ExecuteScalarAsync<string>("SHOW statement_timeout"))!;
    }

    [Fact]
    public async Task A_COMMIT_that_the_server_refuses_as_it_is_late_leaves_nothing_reserved()
    {
        await using var hasty = await GenfenceCache.ConnectAsync("memory://?reservation_time=1200ms&reservation_margin=50ms");
        var direct = new NpgsqlConnectionStringBuilder(_database.ConnectionString);
        await using var proxy = new PostgresProxy(direct.Port);
        await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(_database.ConnectionString) { Port = proxy.Port }.ConnectionString);
        proxy.Hold("COMMIT\0", () => Task.Delay(700));
        var refused = await Assert.ThrowsAsync<PostgresException>(() => hasty.TransactionAsync(connection, ["product:1"], async (transaction, fence, cancellation) =>
            await connection.ExecuteAsync("UPDATE products SET name = 'kettle' WHERE id = 1", transaction: transaction)).AsTask());
        Assert.Equal("25P03", refused.SqlState);
        var looked = await hasty.LookupAsync("product:1");
        looked.Lease?.Dispose();
        Assert.Equal((LookupKind.Leased, 0L), (looked.Kind, hasty.Stats.ReservationsLeft));
    }
}
