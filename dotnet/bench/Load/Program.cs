// Hits, and writes, through the whole .NET side: how many a second, what they cost, what they allocate.
//
//     cargo rustc --release --lib --crate-type cdylib --features capi,tls
//     dotnet run -c Release --project dotnet/bench/Load -- [URL] [SECONDS] [ROUNDS] [CALLERS,…] [NAME]
//
// With -p:AerospikeClient=/path/AerospikeClient.dll Aerospike's own client does a plain get, and the plain
// generation write, on the same server and in turns with ours. Each caller awaits one call after the other.
// Every number is the median of the rounds. CPU is that of the whole process, the native threads included.
using Genfence;
using Genfence.Load;

var url = args.Length > 0 ? args[0] : "memory://";
var time = TimeSpan.FromSeconds(args.Length > 1 ? double.Parse(args[1]) : 2);
var rounds = args.Length > 2 ? int.Parse(args[2]) : 5;
int[] callers = args.Length > 3 ? [.. args[3].Split(',').Select(int.Parse)] : [1, 32, 128, 256];
var only = args.Length > 4 ? args[4] : "";

await using var cache = await GenfenceCache.ConnectAsync(url);
var ours = await Ours.CreateAsync(cache);
List<Way> hits = [new("GetOrFillAsync", ours.GetOrFill), new("TryGetAsync", ours.TryGet)];
List<Way> writes = [new("reserve + commit", ours.Write)];
#if AEROSPIKE_CLIENT
using var peer = await Peer.CreateAsync(url);
hits.Add(new("Aerospike.Client get", peer.Get));
writes.Add(new("Aerospike.Client write", peer.Write));
#endif

Console.WriteLine($"{rounds} rounds of {time.TotalSeconds} s, {Environment.ProcessorCount} processors, {Keys.ValueBytes} B");
Console.WriteLine(Numbers.Header);
foreach (var all in new[] { hits, writes })
{
    var ways = all.FindAll(way => way.Name.Contains(only, StringComparison.Ordinal));
    foreach (var count in callers)
    {
        var measured = ways.ConvertAll(_ => new List<Numbers>());
        for (var round = 0; round < rounds; round++)
        {
            for (var way = 0; way < ways.Count; way++)
            {
                measured[way].Add(await ways[way].MeasureAsync(count, time));
            }
        }
        var medians = measured.ConvertAll(Numbers.Median);
        for (var way = 0; way < ways.Count; way++)
        {
            var beside = ways[^1].Call.Target is not Ours && way < ways.Count - 1 ? medians[way].Beside(medians[^1]) : "";
            Console.WriteLine($"{ways[way].Name,-23}{count,5} {medians[way]}{beside}");
        }
    }
}
