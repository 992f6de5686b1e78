using System.Data.Common;
using Dapper;
using Microsoft.Data.Sqlite;
using Microsoft.EntityFrameworkCore;
using Npgsql;

// Those that count what is left take turns.
[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.None)]
[assembly: AssemblyFixture(typeof(Genfence.Tests.Databases.PostgresServer))]

namespace Genfence.Tests.Databases;

/// <summary>A database for each test, and a cache in front of it.</summary>
public interface IDatabase
{
    DbConnection Connect(string? options = null);

    void Use(DbContextOptionsBuilder options);

    Task DropAsync();
}

public sealed class Sqlite : IDatabase
{
    private readonly string _file = Path.Combine(Path.GetTempPath(), $"genfence-{Guid.NewGuid():N}.db");

    public DbConnection Connect(string? options = null) => new SqliteConnection($"Data Source={_file};Pooling=false;{options}");

    public void Use(DbContextOptionsBuilder options) => options.UseSqlite($"Data Source={_file};Pooling=false");

    public Task DropAsync()
    {
        File.Delete(_file);
        return Task.CompletedTask;
    }
}

public sealed class Postgres(PostgresServer server) : IDatabase
{
    private readonly string _name = $"shop_{Guid.NewGuid():N}";

    public string ConnectionString => $"{server.ConnectionString};Database={_name};Pooling=false";

    public DbConnection Connect(string? options = null) => new NpgsqlConnection($"{ConnectionString};{options}");

    public void Use(DbContextOptionsBuilder options) => options.UseNpgsql(ConnectionString);

    public async Task CreateAsync()
    {
        if (server.Missing is { } why)
        {
            Assert.SkipUnless(Environment.GetEnvironmentVariable("CI") == "true", why);
            Assert.Fail(why);
        }
        await OrderAsync($"CREATE DATABASE {_name}");
    }

    public Task DropAsync() => OrderAsync($"DROP DATABASE {_name} WITH (FORCE)");

    private async Task OrderAsync(string order)
    {
        await using var connection = new NpgsqlConnection($"{server.ConnectionString};Database=postgres;Pooling=false");
        await connection.ExecuteAsync(order);
    }
}

public abstract class DatabaseTest : IAsyncLifetime
{
    /// <summary>Far longer than anything here takes; ends a test that hangs.</summary>
    internal static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    protected GenfenceCache Cache { get; private set; } = null!;

    protected abstract IDatabase Database { get; }

    protected virtual string Url => "memory://?wait=20s&lease_time=1m";

    public virtual async ValueTask InitializeAsync() => Cache = await GenfenceCache.ConnectAsync(Url);

    public virtual async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await Cache.DisposeAsync();
        await Database.DropAsync();
    }

    /// <summary>The cache holds this of a key.</summary>
    protected async Task FillAsync(params string[] keys)
    {
        foreach (var key in keys)
        {
            Assert.Equal("old", await Cache.GetOrFillAsync(key, _ => ValueTask.FromResult("old")).AsTask().WaitAsync(Patience));
        }
    }

    protected async Task AssertHeldAsync(string? value, params string[] keys)
    {
        foreach (var key in keys)
        {
            var (found, held) = await Cache.TryGetAsync<string>(key).AsTask().WaitAsync(Patience);
            Assert.True(found, $"{key} is not in the cache");
            Assert.Equal(value, held);
        }
    }

    /// <summary>A writer holds it.</summary>
    protected async Task AssertReservedAsync(params string[] keys)
    {
        foreach (var key in keys)
        {
            var looked = await Cache.LookupAsync(key).AsTask().WaitAsync(Patience);
            using var lease = looked.Lease;
            Assert.True(looked is { Kind: LookupKind.Bypass, Bypass: BypassReason.Reserved }, $"{key} is not reserved: {looked.Kind}");
        }
    }

    /// <summary>No value, and no writer: the next reader fills.</summary>
    protected async Task AssertEmptyAsync(params string[] keys)
    {
        foreach (var key in keys)
        {
            var looked = await Cache.LookupAsync(key).AsTask().WaitAsync(Patience);
            using var lease = looked.Lease;
            Assert.True(lease is not null, $"{key} is {looked.Kind} {looked.Bypass}");
        }
    }
}
