namespace Genfence.Tests;

/// <summary>
/// The same tests on each store: embedded, on the wire test server, and on the real server that AEROSPIKE_HOSTS names,
/// if it does. After each, nothing may be left.
/// </summary>
public abstract class StoreTest(WireServer wire) : IClassFixture<WireServer>, IAsyncLifetime
{
    public const string Memory = "memory", Wire = "wire", Real = "real";

    private readonly List<GenfenceCache> _opened = [];
    private readonly string _prefix = $"{Guid.NewGuid():N}:";

    public static TheoryData<string> Stores => RealHosts is null ? [Memory, Wire] : [Memory, Wire, Real];

    private static string? RealHosts => Environment.GetEnvironmentVariable("AEROSPIKE_HOSTS");

    protected WireServer Server { get; } = wire;

    /// <summary>Opens a cache; on a server all of one test share their keys, as two processes would.</summary>
    protected async Task<GenfenceCache> OpenAsync(string store, string options = "wait=20s&lease_time=1m")
    {
        // A busy machine is no lost answer. Cases move the server's clock by hand, so it does not go as this process's.
        var patient = store == Memory ? "" : "&timeout=5s&cluster_guard=off";
        var cache = await GenfenceCache.ConnectAsync($"{UrlOf(store)}?prefix={_prefix}{patient}&{options}");
        _opened.Add(cache);
        return cache;
    }

    protected string UrlOf(string store) => store switch
    {
        Memory => "memory://",
        Wire => $"aerospike://{Server.Address}/test/cache",
        _ => $"aerospike://{RealHosts}/test/cache",
    };

    public virtual ValueTask InitializeAsync() => default;

    public virtual async ValueTask DisposeAsync()
    {
        foreach (var cache in _opened)
        {
            await cache.DisposeAsync();
        }
        _opened.Clear();
        await Support.AssertNothingIsAliveAsync();
        GC.SuppressFinalize(this);
    }
}
