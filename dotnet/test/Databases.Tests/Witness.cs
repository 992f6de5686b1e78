using System.Diagnostics;
using System.Globalization;
using Dapper;
using Npgsql;

namespace Genfence.Tests.Databases;

/// <summary>
/// Reads a key over and over on a thread of its own: first what is committed, from the database itself, then the cache. What the cache has must never be older
/// than that.
/// </summary>
public sealed class Witness : IAsyncDisposable
{
    private readonly string _database;
    private readonly NpgsqlConnection _direct;
    private readonly NpgsqlConnection _loading;
    private readonly GenfenceCache _cache;
    private readonly string _key;
    private readonly string _query;
    private readonly CancellationTokenSource _end = new();
    private readonly Task _reading;

    /// <param name="database">The connection string of the database itself.</param>
    /// <param name="cache">The cache.</param>
    /// <param name="key">The key.</param>
    /// <param name="query">What it is made of: a number that only grows.</param>
    public Witness(string database, GenfenceCache cache, string key, string query)
    {
        (_database, _cache, _key, _query) = (database, cache, key, query);
        (_direct, _loading) = (new NpgsqlConnection(database), new NpgsqlConnection(database));
        _reading = Task.Run(ReadAsync);
    }

    public int Reads { get; private set; }

    public int Stale { get; private set; }

    /// <summary>What is committed.</summary>
    public async Task<int> TruthAsync()
    {
        await using var connection = new NpgsqlConnection(_database);
        return await connection.ExecuteScalarAsync<int>(_query);
    }

    /// <summary>What the cache serves once somebody has filled it: this one, or the reader.</summary>
    public async Task<int> ServedAsync()
    {
        for (var waited = Stopwatch.StartNew(); waited.Elapsed < DatabaseTest.Patience;)
        {
            var value = await _cache.GetOrFillAsync(_key, async _ => $"{await TruthAsync()}");
            if ((await _cache.TryGetAsync<string>(_key)).Found)
            {
                return int.Parse(value!, CultureInfo.InvariantCulture);
            }
            await Task.Delay(5);
        }
        throw new TimeoutException($"{_key} is stuck");
    }

    /// <summary>Until no writer holds the key.</summary>
    public async Task FreeAsync()
    {
        while (true)
        {
            var looked = await _cache.LookupAsync(_key);
            looked.Lease?.Dispose();
            if (looked.Kind != LookupKind.Bypass)
            {
                return;
            }
            await Task.Delay(20);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await _reading;
        await _direct.DisposeAsync();
        await _loading.DisposeAsync();
        _end.Dispose();
    }

    private async Task ReadAsync()
    {
        while (!_end.IsCancellationRequested)
        {
            var committed = await _direct.ExecuteScalarAsync<int>(_query);
            var served = await _cache.GetOrFillAsync(_key, async _ => $"{await _loading.ExecuteScalarAsync<int>(_query)}");
            Stale += int.Parse(served!, CultureInfo.InvariantCulture) < committed ? 1 : 0;
            Reads++;
            await Task.Delay(1);
        }
    }
}
