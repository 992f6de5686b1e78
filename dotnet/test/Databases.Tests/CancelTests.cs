using System.Data.Common;
using Dapper;
using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Diagnostics;

namespace Genfence.Tests.Databases;

/// <summary>A change is cancelled at each of its steps in turn.</summary>
public abstract class CancelTests : ShopTest
{
    protected override string Url => "memory://?wait=0s&reservation_time=900ms&reservation_margin=50ms";

    protected virtual Way[] Ways => Way.All;

    [Fact]
    public async Task Nobody_is_served_what_was_there_before_and_nothing_is_stuck()
    {
        var rows = new List<(string Name, int Id)>();
        foreach (var way in Ways)
        {
            var steps = 0;
            // Until there is no such step.
            for (var step = 1; step - 1 == steps; step++)
            {
                var id = 2 + (2 * rows.Count);
                rows.Add(($"{way.Name}, step {step}", id));
                await using (var connection = Database.Connect())
                {
                    await connection.ExecuteAsync($"INSERT INTO \"Prices\" VALUES ({id}, 1, ''), ({id + 1}, 1, '')");
                }
                await AssertServedAsync(rows[^1]);
                using var stop = new CancellationTokenSource();
                var stopping = new Stopping(stop, step);
                try
                {
                    await way.Change(new Row(
                        id, _ => Open(more: options => options.AddInterceptors(stopping)), () => Database.Connect(), Cache, false, stop.Token)).WaitAsync(Patience);
                }
                catch (Exception problem) when (stop.IsCancellationRequested && problem is OperationCanceledException or DbUpdateException or InvalidOperationException or DbException)
                {
                    // Whether it was done is seen below.
                }
                steps = stopping.Steps >= step ? step : 0;
                await AssertServedAsync(rows[^1]);
            }
        }
        Assert.True(rows.Count > 5 * Ways.Length, $"{rows.Count} steps");
        await Task.Delay(1000);
        foreach (var row in rows)
        {
            await AssertServedAsync(row);
            Assert.True((await Cache.TryGetAsync<string>($"price:{row.Id}")).Found, $"{row.Name}: it is stuck");
        }
    }

    private async Task AssertServedAsync((string Name, int Id) row)
    {
        var committed = await LoadAsync();
        var served = await Cache.GetOrFillAsync($"price:{row.Id}", async _ => await LoadAsync());
        Assert.True(served == committed, $"{row.Name}: {served} is served, and {committed} is committed");

        async Task<string?> LoadAsync()
        {
            await using var connection = Database.Connect();
            return await connection.ExecuteScalarAsync<string>($"SELECT \"Cents\" FROM \"Prices\" WHERE \"Id\" = {row.Id}");
        }
    }

    /// <summary>Cancels when so many things have happened.</summary>
    private sealed class Stopping(CancellationTokenSource stop, int step)
        : ISaveChangesInterceptor, IDbTransactionInterceptor, IDbCommandInterceptor, IDbConnectionInterceptor
    {
        public int Steps { get; private set; }

        private ValueTask<T> Step<T>(T result)
        {
            if (++Steps == step)
            {
                stop.Cancel();
            }
            return new(result);
        }

        ValueTask<InterceptionResult<int>> ISaveChangesInterceptor.SavingChangesAsync(
            DbContextEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken) => Step(result);

        ValueTask<int> ISaveChangesInterceptor.SavedChangesAsync(
            SaveChangesCompletedEventData eventData, int result, CancellationToken cancellationToken) => Step(result);

        ValueTask<InterceptionResult> IDbConnectionInterceptor.ConnectionOpeningAsync(
            DbConnection connection, ConnectionEventData eventData, InterceptionResult result, CancellationToken cancellationToken) => Step(result);

        Task IDbConnectionInterceptor.ConnectionOpenedAsync(
            DbConnection connection, ConnectionEndEventData eventData, CancellationToken cancellationToken) => Step(0).AsTask();

        ValueTask<InterceptionResult<DbTransaction>> IDbTransactionInterceptor.TransactionStartingAsync(
            DbConnection connection, TransactionStartingEventData eventData, InterceptionResult<DbTransaction> result, CancellationToken cancellationToken) => Step(result);

        ValueTask<DbTransaction> IDbTransactionInterceptor.TransactionStartedAsync(
            DbConnection connection, TransactionEndEventData eventData, DbTransaction result, CancellationToken cancellationToken) => Step(result);

        ValueTask<InterceptionResult> IDbTransactionInterceptor.TransactionCommittingAsync(
            DbTransaction transaction, TransactionEventData eventData, InterceptionResult result, CancellationToken cancellationToken) => Step(result);

        Task IDbTransactionInterceptor.TransactionCommittedAsync(
            DbTransaction transaction, TransactionEndEventData eventData, CancellationToken cancellationToken) => Step(0).AsTask();

        ValueTask<InterceptionResult<DbDataReader>> IDbCommandInterceptor.ReaderExecutingAsync(
            DbCommand command, CommandEventData eventData, InterceptionResult<DbDataReader> result, CancellationToken cancellationToken) => Step(result);

        ValueTask<DbDataReader> IDbCommandInterceptor.ReaderExecutedAsync(
            DbCommand command, CommandExecutedEventData eventData, DbDataReader result, CancellationToken cancellationToken) => Step(result);

        ValueTask<InterceptionResult<int>> IDbCommandInterceptor.NonQueryExecutingAsync(
            DbCommand command, CommandEventData eventData, InterceptionResult<int> result, CancellationToken cancellationToken) => Step(result);

        ValueTask<int> IDbCommandInterceptor.NonQueryExecutedAsync(
            DbCommand command, CommandExecutedEventData eventData, int result, CancellationToken cancellationToken) => Step(result);
    }
}

public sealed class SqliteCancelTests : CancelTests
{
    protected override IDatabase Database { get; } = new Sqlite();

    // It knows no TransactionScope; and of TransactionAsync there are no steps.
    protected override Way[] Ways => Way.All[..4];
}

public sealed class PostgresCancelTests(PostgresServer server) : CancelTests
{
    private readonly Postgres _database = new(server);

    protected override IDatabase Database => _database;

    protected override Way[] Ways => Way.All[..5];

    public override async ValueTask InitializeAsync()
    {
        await _database.CreateAsync();
        await base.InitializeAsync();
    }
}
