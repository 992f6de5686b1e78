#if AEROSPIKE_CLIENT
using System.Runtime.CompilerServices;
using Aerospike.Client;

namespace Genfence.Load;

/// <summary>
/// Aerospike's own client: a plain get, and the generation write that is asked for again and again (touch the
/// record and take its generation, then put what expects that generation), which does not keep stale values out.
/// </summary>
internal sealed class Peer : IDisposable
{
    private const int Most = Keys.MostCallers;

    private readonly AsyncClient _client;
    private readonly string _namespace;
    private readonly WritePolicy _touch = new() { expiration = 300 };
    private readonly Bin _bin = new("v", new byte[Keys.ValueBytes]);

    private Peer(AsyncClient client, string @namespace) => (_client, _namespace) = (client, @namespace);

    public static async Task<Peer> CreateAsync(string url)
    {
        var uri = new Uri(url);
        var policy = new AsyncClientPolicy
        {
            asyncMaxCommands = Most,
            asyncMaxConnsPerNode = Most,
            asyncMaxCommandAction = MaxCommandAction.DELAY,
        };
        var peer = new Peer(new AsyncClient(policy, new Host(uri.Host, uri.Port)), uri.Segments[1].Trim('/'));
        foreach (var key in Keys.ToRead.Concat(Keys.ToWrite))
        {
            await peer._client.Put(peer._touch, CancellationToken.None, peer.Of(key), peer._bin);
        }
        return peer;
    }

    public void Dispose() => _client.Dispose();

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> Get(int caller, long number)
    {
        var record = await _client.Get(null, CancellationToken.None, Of(Keys.Read(caller, number)));
        return record?.GetValue("v") is byte[] { Length: Keys.ValueBytes };
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public async ValueTask<bool> Write(int caller, long number)
    {
        var key = Of(Keys.Write(caller, number));
        var touched = await _client.Operate(_touch, CancellationToken.None, key, Operation.Touch(), Operation.GetHeader());
        var put = new WritePolicy
        {
            expiration = 300,
            generationPolicy = GenerationPolicy.EXPECT_GEN_EQUAL,
            generation = touched.generation,
        };
        await _client.Put(put, CancellationToken.None, key, _bin);
        return true;
    }

    private Key Of(string key) => new(_namespace, "load_peer", key);
}
#endif
