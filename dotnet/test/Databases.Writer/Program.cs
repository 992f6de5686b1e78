// A writer that a test kills: DATABASE CACHE WAY ROW, the last two of them numbers.
using System.Globalization;
using Genfence;
using Genfence.Tests.Databases;
using Microsoft.EntityFrameworkCore;
using Npgsql;

await using var cache = await GenfenceCache.ConnectAsync(args[1]);
var options = new DbContextOptionsBuilder<Shop>().UseNpgsql(args[0]).UseGenfence(cache, Shop.Map).Options;
await Way.All[int.Parse(args[2], CultureInfo.InvariantCulture)].Change(new Row(
    int.Parse(args[3], CultureInfo.InvariantCulture), _ => new Shop(options), () => new NpgsqlConnection(args[0]), cache, false, CancellationToken.None));
