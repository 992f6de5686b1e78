// Hits, and writes, through the whole .NET side: how many a second, what they cost, what they allocate.
//
//     cargo rustc --release --lib --crate-type cdylib --features capi,tls
//     dotnet run -c Release --project dotnet/bench/Load -- --help
//
// With -p:AerospikeClient=/path/AerospikeClient.dll Aerospike's own client does a plain get, and the plain
// generation write, on the same server and in turns with ours. Each caller awaits one call after the other.
// Every number is the median of the rounds. CPU is that of the whole process, the native threads included.
using System.Text.Json;
using CommandLine;
using Genfence;
using Genfence.Load;

Options? options = null;
if (Parser.Default.ParseArguments<Options>(args).WithParsed(parsed => options = parsed).Tag == ParserResultType.NotParsed)
{
    return args.Contains("--help") ? 0 : 2;
}
if (options!.Wrong() is { } wrong)
{
    await Console.Error.WriteLineAsync(wrong);
    return 2;
}
Keys.Choose(options);
var time = TimeSpan.FromSeconds(options.Seconds);

await using var cache = await GenfenceCache.ConnectAsync(
    options.Url, new GenfenceOptions { WorkerThreads = options.WorkerThreads });
var ours = await Ours.CreateAsync(cache);
List<Way> hits = [new("GetOrFillAsync", ours.GetOrFill), new("TryGetAsync", ours.TryGet)];
List<Way> writes = [new("reserve + commit", ours.Write)];
List<Way> mixed = [new("mixed", Mix(ours.GetOrFill, ours.Write))];
#if AEROSPIKE_CLIENT
using var peer = await Peer.CreateAsync(options.Url);
hits.Add(new("Aerospike.Client get", peer.Get));
writes.Add(new("Aerospike.Client write", peer.Write));
mixed.Add(new("Aerospike.Client mixed", Mix(peer.Get, peer.Write)));
#endif

if (!options.Json)
{
    Console.WriteLine(
        $"{options.Rounds} rounds of {time.TotalSeconds} s, {Environment.ProcessorCount} processors, {Keys.ValueBytes} B"
        + (options.Zipf > 0 ? $", Zipf {options.Zipf}" : ""));
    Console.WriteLine(Numbers.Header);
}
foreach (var all in options.Updates > 0 ? new[] { hits, writes, mixed } : [hits, writes])
{
    var ways = all.FindAll(way => way.Name.Contains(options.Name, StringComparison.Ordinal));
    foreach (var count in options.Callers)
    {
        await MeasureAsync(ways, count);
    }
}
return 0;

async Task MeasureAsync(List<Way> ways, int count)
{
    var measured = ways.ConvertAll(_ => new List<Numbers>());
    for (var round = 0; round < options.Rounds; round++)
    {
        for (var way = 0; way < ways.Count; way++)
        {
            // Alternately from either end, so that none always comes second.
            var now = round % 2 == 0 ? way : ways.Count - 1 - way;
            Show($"{ways[now].Name}, {count} callers, round {round + 1} of {options.Rounds}");
            measured[now].Add(await ways[now].MeasureAsync(count, time));
        }
    }
    Show("");
    var medians = measured.ConvertAll(Numbers.Median);
    for (var way = 0; way < ways.Count; way++)
    {
        if (options.Json)
        {
            Console.WriteLine(JsonSerializer.Serialize(new { Way = ways[way].Name, Callers = count, Numbers = medians[way] }));
            continue;
        }
        var beside = ways[^1].Call.Target is not Ours && way < ways.Count - 1
            ? Numbers.Beside(measured[way], measured[^1])
            : "";
        Console.WriteLine($"{ways[way].Name,-23}{count,5} {medians[way]}{beside}");
    }
}

static void Show(string progress)
{
    if (!Console.IsErrorRedirected)
    {
        Console.Error.Write($"\r{progress,-70}\r");
    }
}

Func<int, long, ValueTask<bool>> Mix(Func<int, long, ValueTask<bool>> read, Func<int, long, ValueTask<bool>> write) =>
    // The numbers of a hundred calls in a row, but not in their order.
    (caller, number) => number * 61 % 100 < options.Updates ? write(caller, number) : read(caller, number);
